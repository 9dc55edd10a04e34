//! For the fuzz targets of this workspace alone, and no part of what this crate promises: what
//! holds for the bytes of a connection and for an address, whatever they are.
//!
//! The types are private, so what is true of them is written here.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};

use crate::address::{Id, Listen, Place, Spot, Target};
use crate::frames::{self, AT_ONCE, Frame, Frames, READ};
use crate::greeting::{Greeting, HEAD};

/// A property that does not hold, in words.
pub type Flaw = &'static str;

/// No packet is longer here, whatever the greeting says.
const MOST: usize = 64 * 1024;

/// Reads what comes over a connection, a greeting and frames; says whether it was taken.
///
/// # Errors
/// The first property that does not hold.
pub fn connection(data: &[u8]) -> Result<bool, Flaw> {
    let Some((head, rest)) = data.split_first_chunk::<HEAD>() else { return Ok(false) };
    let Ok(follows) = Greeting::follows(head) else { return Ok(false) };
    let Some((body, rest)) = rest.split_at_checked(follows) else { return Ok(false) };
    let Ok(greeting) = Greeting::decode(head, body) else { return Ok(false) };
    let encoded = greeting.encode();
    let again = encoded.split_first_chunk().map(|(head, body)| Greeting::decode(head, body));
    hold(again == Some(Ok(greeting.clone())), "a greeting is another once encoded again")?;
    hold(encoded.len() <= HEAD + follows, "a greeting became longer")?;

    let max = usize::try_from(greeting.max_packet).unwrap_or(MOST).min(MOST);
    let whole = read(rest, rest.len().max(1), max)?;
    for step in [1, 3, 7] {
        hold(read(rest, step, max)? == whole, "it matters how the bytes are cut")?;
    }
    let (packets, left) = whole;
    hold(packets.iter().all(|packet| packet.len() <= max), "a packet over the limit is taken")?;
    let written = write(&packets)?;
    match left {
        Some(left) => {
            let same = [&written[..], &left].concat() == rest;
            hold(same, "packets are other bytes once written again")?;
            Ok(true)
        }
        None => {
            hold(rest.starts_with(&written), "packets are other bytes once written again")?;
            Ok(false)
        }
    }
}

/// The packets, and what is left behind them; `None` after a frame that is too long.
type Read = (Vec<Bytes>, Option<Vec<u8>>);

fn read(bytes: &[u8], step: usize, max: usize) -> Result<Read, Flaw> {
    let (mut buffer, mut packets, mut over) = (BytesMut::new(), Vec::new(), false);
    for part in bytes.chunks(step) {
        buffer.extend_from_slice(part);
        while !over {
            match frames::next(&mut buffer, max) {
                Ok(Some(Frame::Packet(packet))) => packets.push(packet),
                // What is behind it nobody reads.
                Ok(Some(Frame::Farewell(_))) => over = true,
                Ok(None) => break,
                Err(_) => return Ok((packets, None)),
            }
        }
        let room = frames::room(&buffer);
        hold((1..=buffer.len().max(READ)).contains(&room), "a length alone reserves memory")?;
    }
    Ok((packets, Some(buffer.to_vec())))
}

/// Written as a socket does that takes a few bytes at a time.
fn write(packets: &[Bytes]) -> Result<Vec<u8>, Flaw> {
    let mut frames = Frames::default();
    packets.iter().cloned().for_each(|packet| frames.push(packet));
    let (mut out, mut completed) = (Vec::new(), 0);
    while !frames.is_empty() {
        let mut slices = [IoSlice::new(&[]); 2 * AT_ONCE];
        let filled = frames.slices(&mut slices);
        hold(filled > 0, "nothing is to be written of what waits")?;
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = bytes.len().div_ceil(2);
        out.extend_from_slice(&bytes[..taken]);
        completed += frames.advance(taken);
    }
    hold(completed == packets.len() && frames.bytes() == 0, "a packet is not accounted for")?;
    Ok(out)
}

/// Reads an address as one that is dialled and as one that is listened at; says whether it is one.
///
/// # Errors
/// The first property that does not hold.
pub fn address(text: &str) -> Result<bool, Flaw> {
    let listens = match Listen::parse(text) {
        Ok(Listen { tls, spot: Spot::Tcp(host, port) }) => {
            let again = Listen::parse(&format!("{}{host}:{port}", scheme(tls)));
            let same = matches!(again, Ok(again) if again.spot == Spot::Tcp(host, port));
            hold(same, "where it listens is elsewhere once printed")?;
            true
        }
        other => other.is_ok(),
    };
    let Ok(target) = Target::parse(text) else { return Ok(listens) };
    #[cfg_attr(not(unix), allow(irrefutable_let_patterns, reason = "there is TCP alone"))]
    if let Place::Tcp(host, port) = &target.place {
        hold(*port != 0, "port 0 can be dialled")?;
        let id = target.id.as_ref().map_or(String::new(), |id| format!("/{id}"));
        let again = Target::parse(&format!("{}{host}:{port}{id}", scheme(target.tls)));
        hold(again.is_ok_and(|again| again == target), "an address is another once printed")?;
    }
    let is_id = |id: &Id| Id::parse(id.as_str()).as_ref() == Some(id);
    hold(target.id.as_ref().is_none_or(is_id), "an id is none")?;
    Ok(true)
}

fn scheme(tls: bool) -> &'static str {
    if tls { "tls://" } else { "" }
}

fn hold(holds: bool, flaw: Flaw) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(flaw) }
}
