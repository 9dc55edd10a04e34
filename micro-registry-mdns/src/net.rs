//! The sockets of multicast DNS, shared with whoever else speaks it on this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use micro_core::{Error, Result};
use quinn_udp::RecvMeta;
use socket2::Domain;
use tracing::{debug, warn};

use crate::channel::{Channel, GROUP_V4, GROUP_V6, carries_multicast};
use crate::config::Options;
use crate::interfaces;
use crate::links::{Link, LinkId};
use crate::responder::{Outgoing, To};

/// So many packets are read at once,
const BATCH: usize = 4;
/// each of this size, because several of one sender may come as one.
const BUFFER: usize = 1 << 16;

/// What listens to everybody.
pub(crate) struct Net {
    v4: Option<Channel>,
    v6: Option<Channel>,
    port: u16,
    links: Vec<Link>,
    /// By which address, where it has one, each link was joined.
    joined: Vec<(LinkId, IpAddr)>,
    buffers: Vec<Vec<u8>>,
}

/// A packet that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) from: SocketAddr,
    pub(crate) link: &'a Link,
}

impl Net {
    /// # Errors
    /// `Unavailable`, if there is none of the interfaces, or the port cannot be had.
    pub(crate) fn open(options: &Options) -> Result<Self> {
        interfaces::present(&options.interfaces)?;
        for missing in interfaces::missing(&options.interfaces) {
            warn!(interface = %missing, "there is no such network interface; it is used when there is");
        }
        let port = options.port;
        let v4 = Channel::open(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into());
        let v6 = Channel::open(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into());
        let neither = v4.is_err() && v6.is_err();
        // A machine may have one family of addresses alone; a port that somebody has is another
        // thing.
        let counts = |error: &&io::Error| neither || error.kind() == io::ErrorKind::AddrInUse;
        if let Some(error) =
            [v4.as_ref().err(), v6.as_ref().err()].into_iter().flatten().find(counts)
        {
            return Err(Error::unavailable(format!(
                "multicast DNS needs UDP port {port}, which cannot be had; a program that does \
                 not share it may be using it"
            ))
            .with_source(io::Error::new(error.kind(), error.to_string())));
        }
        let (v4, v6) = (v4.ok(), v6.ok());
        let buffers = (0..BATCH).map(|_| vec![0; BUFFER]).collect();
        let mut net = Self { v4, v6, port, links: Vec::new(), joined: Vec::new(), buffers };
        net.refresh(options);
        if net.links.is_empty() {
            let present = interfaces::present(&options.interfaces)?;
            let there: Vec<_> =
                present.iter().map(|i| format!("{} ({})", i.name, i.ip())).collect();
            let there = there.join(", ");
            return Err(Error::unavailable(format!("no multicast goes over {there}")));
        }
        Ok(net)
    }

    /// The networks that there are.
    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// Looks which networks there are now, and says whether they are others than before.
    pub(crate) fn refresh(&mut self, options: &Options) -> bool {
        // Without an interface there is nobody to hear.
        let links = Link::all(&interfaces::present(&options.interfaces).unwrap_or_default());
        let is_usable = |link: &Link| {
            let channel = if link.id.is_v4 { &self.v4 } else { &self.v6 };
            channel.is_some() && carries_multicast(link, self.port)
        };
        let links: Vec<Link> = links.into_iter().filter(is_usable).collect();
        if links == self.links {
            return false;
        }
        self.links = links;
        self.join();
        true
    }

    /// Is woken by what comes, or, where there is no time for it, is not.
    pub(crate) fn listen(&mut self, listens: bool) {
        for channel in [&mut self.v4, &mut self.v6].into_iter().flatten() {
            if let Err(error) = channel.listen(listens) {
                debug!(%error, "nobody is heard for now");
            }
        }
    }

    /// Until something has come. Cancel safe.
    pub(crate) async fn readable(&self) {
        let readable = async |channel: Option<&Channel>| match channel {
            Some(channel) => channel.readable().await,
            None => std::future::pending().await,
        };
        tokio::select! {
            () = readable(self.v4.as_ref()) => {}
            () = readable(self.v6.as_ref()) => {}
        }
    }

    /// Reads some of what has come, without waiting; false if that was all.
    pub(crate) fn read(&mut self, mut hear: impl FnMut(Incoming<'_>)) -> bool {
        let mut is_more = false;
        for channel in [&self.v4, &self.v6].into_iter().flatten() {
            let mut metas = [RecvMeta::default(); BATCH];
            let count = match channel.read(&mut self.buffers, &mut metas) {
                Ok(count) => count,
                // It says nothing of the next one.
                Err(error) => {
                    is_more |= error.kind() != io::ErrorKind::WouldBlock;
                    continue;
                }
            };
            is_more |= count > 0;
            for (buffer, meta) in self.buffers.iter().zip(&metas[..count]) {
                let Some(link) = link_of(&self.links, meta) else { continue };
                let from = meta.addr;
                for message in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    hear(Incoming { message, from, link });
                }
            }
        }
        is_more
    }

    /// Who cannot be sent to does not hear of it: all is said more than once. False if there is no
    /// such network any more.
    pub(crate) fn send(&self, outgoing: &Outgoing) -> bool {
        let sent = match outgoing.to {
            To::Everybody(id) => {
                let link = self.links.iter().find(|link| link.id == id);
                let channel = self.channel(id.is_v4).zip(link);
                channel.map(|(channel, link)| channel.say(link, self.port, &outgoing.message))
            }
            To::One(to) => {
                self.channel(to.is_ipv4()).map(|channel| channel.send(to, &outgoing.message))
            }
        };
        let Some(Err(error)) = sent else { return true };
        debug!(to = ?outgoing.to, %error, "a packet could not be sent");
        matches!(outgoing.to, To::One(_)) || error.kind() == io::ErrorKind::WouldBlock
    }

    fn channel(&self, is_v4: bool) -> Option<&Channel> {
        if is_v4 { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    /// Is to hear what is said to everybody on each link, and on no others.
    fn join(&mut self) {
        let Self { v4, v6, links, joined, .. } = self;
        joined.retain(|(id, address)| {
            let is_there = links.iter().any(|link| link.id == *id);
            let channel = if id.is_v4 { &v4 } else { &v6 };
            let leave = |channel: &Channel| channel.leave(*id, *address);
            // An interface that is gone keeps one of the few places that there are.
            if !is_there && let Some(Err(error)) = channel.as_ref().map(leave) {
                debug!(%address, %error, "a network that is gone could not be left");
            }
            is_there
        });
        for Link { id, name, addresses, .. } in links {
            let is_new = joined.iter().all(|(before, _)| before != id);
            let Some(address) = addresses.first().filter(|_| is_new) else { continue };
            let channel = if id.is_v4 { &mut *v4 } else { &mut *v6 };
            match channel.as_mut().map(|channel| channel.join(*id, *address)) {
                Some(Err(error)) => {
                    warn!(interface = name, %error, "nobody is heard there by multicast");
                }
                _ => joined.push((*id, *address)),
            }
        }
    }
}

/// The link that it came over, if it is one of ours.
fn link_of<'a>(links: &'a [Link], meta: &RecvMeta) -> Option<&'a Link> {
    let is_v4 = meta.addr.is_ipv4();
    let is_group = matches!(meta.dst_ip, Some(IpAddr::V4(GROUP_V4) | IpAddr::V6(GROUP_V6)));
    let is_it = |link: &&Link| match meta.interface_index {
        Some(index) => link.id == LinkId { index, is_v4 },
        // Not all systems say so: Apple's and BSD do not for IPv4.
        None => link.id.is_v4 == is_v4 && link.carries(meta.addr.ip()),
    };
    // What is not for everybody may come from anywhere (RFC 6762, 11).
    links.iter().find(is_it).filter(|link| is_group || link.reaches(meta.addr.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_us_alone_is_heard_of_neighbours_and_what_is_for_everybody_of_all() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let id = LinkId { index: 7, is_v4: true };
        let networks = vec![(ip("10.1.2.3"), 24)];
        let links = [Link { id, is_loopback: false, networks, ..Link::loopback() }];
        let is_heard = |from: &str, to: &str, index| {
            let mut meta = RecvMeta::default();
            meta.addr = (ip(from), 5353).into();
            meta.dst_ip = Some(ip(to));
            meta.interface_index = index;
            link_of(&links, &meta).is_some()
        };
        for index in [Some(7), None] {
            assert!(is_heard("10.1.2.4", "10.1.2.3", index));
            assert!(!is_heard("10.1.3.4", "10.1.2.3", index), "it came through a router");
            assert!(is_heard("10.1.2.4", "224.0.0.251", index));
        }
        assert!(is_heard("10.1.3.4", "224.0.0.251", Some(7)));
        assert!(!is_heard("10.1.2.4", "224.0.0.251", Some(8)), "it is another network");
    }
}
