//! What every [`Transport`] keeps, as named checks.

mod away;
mod closing;
mod listening;
mod nobody;
mod opening;
mod packets;
mod peers;
mod receiving;
mod refusing;
mod side;

use std::sync::Arc;

use bytes::Bytes;
use micro_core::transport::{Peer, Refused};
use micro_core::{Transport, async_trait};

use self::side::Side;
use crate::Failure;
use crate::check::{Checked, Network, ensure, suite, unique, within};

/// A backend under test.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Another handle to the same world, as another process would have it.
    async fn transport(&self) -> Arc<dyn Transport>;

    /// An address that can be listened at and that nobody has.
    fn address(&self) -> String {
        unique("check")
    }

    /// What is no address, neither to dial nor to listen at.
    fn bad_addresses(&self) -> Vec<String> {
        vec![String::new(), "a b".to_owned()]
    }

    /// Sends there what is no packet, in every way that the network allows; nothing where it
    /// allows none.
    async fn garbage(&self, address: &str) {
        let _ = address;
    }

    /// The network, where there is one. Its handles must give up on it within
    /// [`LIMIT`](crate::LIMIT).
    fn network(&self) -> Option<&dyn Network> {
        None
    }
}

suite! { ($) transport_suite in transport:
    opening {
        every_port_gets_an_address_of_its_own,
        a_port_listens_where_it_was_asked_to,
        a_port_is_reached_where_it_says_that_it_is_now,
        a_port_that_listens_nowhere_can_dial,
        what_is_no_address_is_refused,
        a_taken_address_is_a_conflict_if_it_is_seen,
        an_address_is_free_again_when_its_port_is_gone,
        every_handle_tells_the_same_and_is_healthy,
    }
    packets {
        a_packet_arrives_and_its_answer_too,
        an_empty_packet_arrives,
        any_bytes_arrive_unchanged,
        ten_thousand_packets_keep_their_order,
        ten_thousand_answers_keep_their_order,
        threads_that_share_a_peer_keep_their_order,
        garbage_harms_no_port,
        flushing_ends_in_time,
    }
    peers {
        dialling_is_local,
        two_dials_are_two_peers,
        many_peers_are_kept_apart,
        a_peer_id_is_never_used_again,
        both_ends_know_who_dialled,
        a_forgotten_peer_hears_nothing,
        an_accepted_peer_that_was_forgotten_is_no_dead_end,
    }
    refusing {
        the_largest_packet_arrives,
        a_packet_too_large_is_handed_back,
        a_full_peer_hands_back_and_is_ready_again,
        waiting_for_room_can_be_given_up,
    }
    nobody {
        nobody_there_is_told_to_the_peer_that_it_belongs_to,
        no_more_packets_are_undelivered_than_were_taken,
        no_packet_that_arrived_is_undelivered,
        a_peer_with_nobody_there_takes_nothing,
        a_port_that_dies_under_a_flood_is_counted_truly,
        whoever_comes_later_can_be_dialled,
    }
    closing {
        a_closed_peer_takes_nothing,
        a_closed_peer_yields_nothing,
        a_close_by_the_dialler_is_seen_after_its_packets,
        a_close_by_the_acceptor_is_seen_after_its_packets,
        closing_one_peer_leaves_the_others,
        closing_twice_is_fine,
        a_dropped_port_is_noticed,
        nothing_comes_after_a_close,
    }
    listening {
        nobody_new_is_heard_after_stop_listening,
        answers_still_leave_after_stop_listening,
        answers_still_arrive_after_stop_listening,
        nobody_is_left_waiting_after_stop_listening,
        stopping_twice_is_fine,
    }
    receiving {
        a_receiver_can_move_between_tasks,
        a_receive_that_is_given_up_loses_nothing,
        a_receive_is_pending_only_with_nothing,
        a_packet_wakes_whoever_polled_last,
    }
    away {
        opening_and_dialling_need_no_network,
        health_tells_of_an_outage,
        a_port_outlives_an_outage,
        an_outage_is_an_interruption_and_nothing_else_is,
    }
}

/// A packet that says its number.
fn numbered(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The number that a packet says.
fn number(packet: &Bytes) -> Checked<u64> {
    let bytes = <[u8; 8]>::try_from(&**packet);
    bytes
        .map(u64::from_be_bytes)
        .map_err(|_| Failure::new(format!("not what was sent: {packet:?}")))
}

/// Sends a packet, and waits for room where there is none.
async fn send(peer: &Peer, packet: impl Into<Bytes>) -> Checked {
    let mut packet = packet.into();
    let sending = async {
        loop {
            packet = match peer.try_send(packet) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(packet)) => packet,
                Err(refused) => return Err(Failure::new(format!("{peer:?} refused: {refused:?}"))),
            };
            peer.ready().await?;
            // What says that it is ready while it is not must not keep the others from running.
            tokio::task::yield_now().await;
        }
    };
    within("room for a packet", sending).await?
}

/// A peer that takes nothing: what is sent is handed back, and nobody waits for it to be ready.
async fn takes_nothing(peer: &Peer) -> Checked {
    let packet = Bytes::from_static(b"handed back");
    match peer.try_send(packet.clone()) {
        Err(Refused::Closed(back)) => {
            ensure!(back == packet, "what was handed back is not what was sent: {back:?}");
        }
        other => return Err(Failure::new(format!("{peer:?} is over, but: {other:?}"))),
    }
    match within("ready, of a peer that is over", peer.ready()).await? {
        Err(error) if error.kind() == micro_core::ErrorKind::Unavailable => Ok(()),
        other => Err(Failure::new(format!("ready of a peer that is over: {other:?}"))),
    }
}

/// Sends until the peer takes nothing any more; how many it took.
async fn send_until_refused(peer: &Peer) -> Checked<u64> {
    let flooding = async {
        let mut taken = 0;
        loop {
            match peer.try_send(numbered(taken)) {
                Ok(()) => taken += 1,
                Err(Refused::Full(_)) if peer.ready().await.is_ok() => {}
                Err(Refused::Closed(_) | Refused::Full(_)) => return taken,
                Err(_) => {}
            }
            tokio::time::sleep(std::time::Duration::from_micros(50)).await;
        }
    };
    within("the peer's end", flooding).await
}
