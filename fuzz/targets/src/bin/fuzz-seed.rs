//! Writes the corpus in `fuzz/corpus` anew from the fixtures; other files there stay.

use std::{fs, io};

use micro_fuzz::{corpus, seeds};

fn main() -> io::Result<()> {
    let (mut files, mut bytes) = (0, 0);
    for (target, inputs) in seeds::all()? {
        let folder = corpus::folder(target);
        fs::create_dir_all(&folder)?;
        for (name, input) in inputs {
            fs::write(folder.join(name), &input)?;
            files += 1;
            bytes += input.len();
        }
    }
    println!("fuzz-seed: {files} files, {bytes} bytes");
    Ok(())
}
