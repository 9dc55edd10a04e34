//! How many packets a peer took, and how many of them reached nobody.

/// What was taken and what is known of it. One lock covers the check and the send, so the count
/// in an `Undelivered` knows of every packet.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) phase: Phase,
    pub(crate) taken: u64,
    /// "Nobody listens" came this many times.
    pub(crate) unheard: u64,
    /// The connection that the packets from number `epoch_start` on went to.
    pub(crate) epoch: u64,
    epoch_start: u64,
    /// When this fence is back, the first packet of the epoch was not one of the `unheard`.
    pub(crate) confirms: u64,
    /// It was back before the first "nobody listens".
    pub(crate) confirmed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Open,
    /// Nobody listens there: what exactly reached nobody is being found out, or was.
    Stopped,
    /// The other end is gone, as was reported.
    Gone,
    Closed,
}

impl Account {
    /// Takes note of a packet that was published; true if it is the first of its epoch.
    pub(crate) fn took(&mut self, epoch: u64) -> bool {
        let first = self.taken == 0 || epoch != self.epoch;
        if first {
            self.epoch = epoch;
            self.epoch_start = self.taken;
        }
        self.taken += 1;
        first
    }

    /// How many of the last packets surely reached nobody.
    pub(crate) fn undelivered(&self, epoch: u64) -> u64 {
        if self.unheard >= self.taken {
            // One for each packet: no order and no reconnect matters.
            return self.taken;
        }
        // Otherwise they are the last ones only if somebody listened first and then nobody did.
        // After a reconnect of both sides it may have been the other way round, so the first
        // packet of this connection must be known to have been heard.
        if self.confirmed && self.epoch == epoch {
            return self.unheard.min(self.taken - self.epoch_start);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(packets: u64, epoch: u64) -> Account {
        let mut account = Account::default();
        for _ in 0..packets {
            account.took(epoch);
        }
        account
    }

    #[test]
    fn the_count_is_of_the_last_packets_once_the_first_was_heard() {
        let seven_of_seventeen = Account { unheard: 7, confirmed: true, ..account(17, 1) };
        assert_eq!(seven_of_seventeen.undelivered(1), 7);
    }

    #[test]
    fn an_answer_for_every_packet_needs_no_proof_of_order() {
        let all = Account { unheard: 3, ..account(3, 1) };
        assert_eq!(all.undelivered(2), 3);
    }

    #[test]
    fn what_crossed_a_reconnect_is_not_counted() {
        let crossed = Account { unheard: 2, confirmed: true, ..account(3, 1) };
        assert_eq!(crossed.undelivered(2), 0);
    }

    #[test]
    fn a_listener_that_may_have_come_back_later_is_not_counted() {
        let unproved = Account { unheard: 2, confirmed: false, ..account(3, 1) };
        assert_eq!(unproved.undelivered(1), 0);
    }

    #[test]
    fn a_count_never_reaches_into_an_earlier_connection() {
        let mut both = account(5, 1);
        for _ in 0..3 {
            both.took(2);
        }
        let both = Account { unheard: 6, confirmed: true, ..both };
        assert_eq!(both.undelivered(2), 3);
    }
}
