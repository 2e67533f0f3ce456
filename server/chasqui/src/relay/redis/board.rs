//! Who wants to hear of what, and what is confirmed: where subscribers and ears meet.
//!
//! In 64 sections, one a partition; each has at most one ear, which is the only one that talks to the partition's server.
//! Nothing here waits and nothing here speaks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::payment::PaymentId;
use crate::redis::{PARTITIONS, Partition};

#[derive(Debug)]
pub(super) struct Board {
    sections: Vec<Mutex<Section>>,
}

#[derive(Debug, Default)]
struct Section {
    topics: HashMap<PaymentId, Topic>,
    /// To be subscribed or given up, whichever the topic says when its turn comes.
    changed: Vec<PaymentId>,
    ear: Option<Arc<Notify>>,
    /// Why there is no ear.
    silence: String,
}

#[derive(Debug, Default)]
struct Topic {
    subscriptions: u32,
    standing: Standing,
    waiting: Vec<oneshot::Sender<()>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Standing {
    #[default]
    Wanted,
    /// The server was told and has not confirmed it.
    Sent,
    Confirmed,
}

/// What a subscriber has to wait for.
pub(super) enum Subscription {
    Confirmed,
    /// Told when it is confirmed; dropped when that cannot be.
    Sent(oneshot::Receiver<()>),
}

/// What an ear has to tell its server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errands {
    pub(super) subscribe: Vec<PaymentId>,
    pub(super) unsubscribe: Vec<PaymentId>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            sections: (0..PARTITIONS)
                .map(|_| {
                    Mutex::new(Section {
                        silence: "redis has not been reached yet".into(),
                        ..Section::default()
                    })
                })
                .collect(),
        }
    }

    /// Counts a subscription, which [`give_back`](Self::give_back) ends. `Err`: nobody listens there, and why.
    pub(super) fn subscribe(&self, id: &PaymentId) -> Result<Subscription, String> {
        let mut section = self.section_of(id);
        let Some(ear) = section.ear.clone() else {
            return Err(section.silence.clone());
        };
        let topic = section.topics.entry(id.clone()).or_default();
        topic.subscriptions += 1;
        if topic.standing == Standing::Confirmed {
            return Ok(Subscription::Confirmed);
        }
        let (sender, receiver) = oneshot::channel();
        topic.waiting.push(sender);
        if topic.subscriptions == 1 {
            section.changed.push(id.clone());
            ear.notify_one();
        }
        Ok(Subscription::Sent(receiver))
    }

    pub(super) fn give_back(&self, id: &PaymentId) {
        let mut section = self.section_of(id);
        if let Entry::Occupied(mut topic) = section.topics.entry(id.clone()) {
            topic.get_mut().subscriptions -= 1;
            if topic.get().subscriptions == 0 {
                topic.remove();
                if let Some(ear) = section.ear.clone() {
                    section.changed.push(id.clone());
                    ear.notify_one();
                }
            }
        }
    }

    /// An ear begins to listen: everything wanted is to be subscribed anew. Returns it, partition by partition.
    pub(super) fn begin(&self, partitions: &[Partition], ear: &Arc<Notify>) -> Vec<PaymentId> {
        let mut wanted = Vec::new();
        for partition in partitions {
            let mut section = self.section(*partition);
            section.ear = Some(Arc::clone(ear));
            section.changed.clear();
            for (id, topic) in &mut section.topics {
                topic.standing = Standing::Sent;
                wanted.push(id.clone());
            }
        }
        wanted
    }

    /// An ear is gone: whoever waits for a confirmation waits in vain.
    pub(super) fn end(&self, partitions: &[Partition], why: &str) {
        for partition in partitions {
            let mut section = self.section(*partition);
            section.ear = None;
            why.clone_into(&mut section.silence);
            section.changed = Vec::new();
            for topic in section.topics.values_mut() {
                topic.standing = Standing::Wanted;
                topic.waiting = Vec::new();
            }
        }
    }

    /// What is to be told since it was last asked, partition by partition.
    pub(super) fn jobs(&self, partitions: &[Partition]) -> Errands {
        let mut jobs = Errands::default();
        for partition in partitions {
            let mut section = self.section(*partition);
            for id in std::mem::take(&mut section.changed) {
                match section.topics.get_mut(&id) {
                    Some(topic) if topic.standing == Standing::Wanted => {
                        topic.standing = Standing::Sent;
                        jobs.subscribe.push(id);
                    }
                    // Given up and wanted again, or asked for twice: it is on its way.
                    Some(_) => {}
                    None => jobs.unsubscribe.push(id),
                }
            }
        }
        jobs
    }

    /// The server confirmed it, and nothing else about it is under way.
    pub(super) fn confirm(&self, id: &PaymentId) {
        if let Some(topic) = self.section_of(id).topics.get_mut(id)
            && topic.standing == Standing::Sent
        {
            topic.standing = Standing::Confirmed;
            for waiting in std::mem::take(&mut topic.waiting) {
                let _ = waiting.send(());
            }
        }
    }

    /// Why a partition is not listened to, if it is not.
    pub(super) fn silence(&self, partition: Partition) -> Option<String> {
        let section = self.section(partition);
        section.ear.is_none().then(|| section.silence.clone())
    }

    fn section_of(&self, id: &PaymentId) -> MutexGuard<'_, Section> {
        self.section(Partition::of(id.as_str()))
    }

    fn section(&self, partition: Partition) -> MutexGuard<'_, Section> {
        self.sections[partition.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> PaymentId {
        PaymentId::parse("p1").expect("id")
    }

    fn partition() -> Partition {
        Partition::of("p1")
    }

    fn listened_to() -> (Board, Arc<Notify>) {
        let (board, ear) = (Board::new(), Arc::new(Notify::new()));
        assert_eq!(board.begin(&[partition()], &ear), []);
        (board, ear)
    }

    fn sent(board: &Board) -> oneshot::Receiver<()> {
        match board.subscribe(&id()) {
            Ok(Subscription::Sent(receiver)) => receiver,
            Ok(Subscription::Confirmed) => panic!("confirmed too early"),
            Err(why) => panic!("refused: {why}"),
        }
    }

    fn only(subscribe: &[PaymentId], unsubscribe: &[PaymentId]) -> Errands {
        Errands {
            subscribe: subscribe.to_vec(),
            unsubscribe: unsubscribe.to_vec(),
        }
    }

    #[test]
    fn many_subscribers_are_one_subscription_and_all_hear_of_its_confirmation() {
        let (board, _ear) = listened_to();
        let mut waiting: Vec<_> = (0..10).map(|_| sent(&board)).collect();
        assert_eq!(board.jobs(&[partition()]), only(&[id()], &[]));
        assert_eq!(board.jobs(&[partition()]), only(&[], &[]));
        board.confirm(&id());
        for receiver in &mut waiting {
            assert_eq!(receiver.try_recv(), Ok(()));
        }
        assert!(matches!(
            board.subscribe(&id()),
            Ok(Subscription::Confirmed)
        ));
    }

    #[test]
    fn the_last_to_leave_gives_it_up() {
        let (board, _ear) = listened_to();
        let _waiting = [sent(&board), sent(&board)];
        board.jobs(&[partition()]);
        board.give_back(&id());
        assert_eq!(board.jobs(&[partition()]), only(&[], &[]));
        board.give_back(&id());
        assert_eq!(board.jobs(&[partition()]), only(&[], &[id()]));
    }

    #[test]
    fn one_who_comes_as_the_last_leaves_is_subscribed() {
        let (board, _ear) = listened_to();
        let _first = sent(&board);
        board.jobs(&[partition()]);
        board.confirm(&id());
        board.give_back(&id());
        // Not confirmed: the server may be told to forget it before it is told anew.
        let _second = sent(&board);
        assert_eq!(board.jobs(&[partition()]), only(&[id()], &[]));
    }

    #[test]
    fn a_confirmation_of_what_was_not_sent_again_yet_is_not_this_ones() {
        let (board, _ear) = listened_to();
        let _first = sent(&board);
        board.jobs(&[partition()]);
        board.give_back(&id());
        board.jobs(&[partition()]);
        let mut second = sent(&board);
        board.confirm(&id());
        assert!(second.try_recv().is_err());
    }

    #[test]
    fn where_nobody_listens_nobody_can_subscribe() {
        let board = Board::new();
        assert!(board.subscribe(&id()).is_err());
        let ear = Arc::new(Notify::new());
        board.begin(&[partition()], &ear);
        let mut waiting = sent(&board);
        board.end(&[partition()], "the server is gone");
        assert!(matches!(
            waiting.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        ));
        assert_eq!(
            board.subscribe(&id()).err().as_deref(),
            Some("the server is gone")
        );
        // The first one stays, and is subscribed by the next ear.
        assert_eq!(board.begin(&[partition()], &ear), [id()]);
        board.confirm(&id());
        assert!(matches!(
            board.subscribe(&id()),
            Ok(Subscription::Confirmed)
        ));
    }
}
