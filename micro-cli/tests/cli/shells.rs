//! `micro completions` and `micro man`.

use std::fs;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::program::Micro;

#[tokio::test]
async fn each_shell_has_completions_with_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Micro::new(&["completions", shell]).run().await.fine();
        for verb in
            ["services", "describe", "watch", "call", "stream", "publish", "subscribe", "health"]
        {
            assert!(script.contains(verb), "{shell} does not complete {verb}");
        }
        assert!(script.contains("registry_address"), "{shell} does not complete flags");
    }
}

#[tokio::test]
async fn bash_reads_its_completions_and_completes_a_verb() {
    let script = Micro::new(&["completions", "bash"]).run().await.fine();
    let ask = "\nCOMP_WORDS=(micro desc); COMP_CWORD=1; _micro micro desc micro; echo \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("bash is there, as for the scripts of ci");
    let mut stdin = bash.stdin.take().unwrap();
    stdin.write_all((script + ask).as_bytes()).await.unwrap();
    drop(stdin);
    let done = bash.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "describe\n");
}

#[tokio::test]
async fn each_verb_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let done = Micro::new(&["man", &pages.display().to_string()]).run().await;
    assert_eq!((done.code(), done.stdout.as_str()), (Some(0), ""), "{done:?}");
    let mut found: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<String> = [
        "services",
        "describe",
        "watch",
        "call",
        "stream",
        "publish",
        "subscribe",
        "health",
        "completions",
        "man",
    ]
    .iter()
    .map(|verb| format!("micro-{verb}.1"))
    .chain(["micro.1".to_owned()])
    .collect();
    expected.sort();
    found.retain(|name| !name.contains("help"));
    assert_eq!(found, expected);
    let call = fs::read_to_string(pages.join("micro-call.1")).unwrap();
    assert!(call.contains(".TH micro-call 1") && call.contains("\\-\\-timeout"), "{call}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = Micro::new(&["man", &file.join("man").display().to_string()]).run().await.misused();
    assert!(said.contains("cannot write to"), "{said}");
}
