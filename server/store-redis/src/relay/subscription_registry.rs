//! What is subscribed and what is confirmed: where the relay's callers and the subscribers of servers meet.
//!
//! In 64 sections, one for each partition; each has at most one subscriber, the only one with a connection to the
//! partition's server. No call here blocks or does I/O.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chasqui_payment::PaymentId;
use chasqui_redis_topology::Partition;
use tokio::sync::{Notify, oneshot};

#[derive(Debug)]
pub(super) struct SubscriptionRegistry {
    sections: Vec<Mutex<Section>>,
}

#[derive(Debug)]
struct Section {
    topics: HashMap<PaymentId, Channel>,
    /// Channels to subscribe or unsubscribe; their state when the commands are sent decides which.
    changed: Vec<PaymentId>,
    /// Notified when `changed` has entries. `Err`: why there is none.
    subscriber: Result<Arc<Notify>, String>,
}

#[derive(Debug, Default)]
struct Channel {
    subscriptions: u32,
    state: SubscriptionState,
    waiting: Vec<oneshot::Sender<()>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum SubscriptionState {
    #[default]
    Wanted,
    /// The command is sent and not confirmed.
    Sent,
    Confirmed,
}

/// What a subscriber has to wait for.
pub(super) enum Subscription {
    Confirmed,
    /// Receives when it is confirmed; closed when the connection is lost.
    Sent(oneshot::Receiver<()>),
}

/// What a subscriber has to send to its server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PubSubCommands {
    pub(super) subscribe: Vec<PaymentId>,
    pub(super) unsubscribe: Vec<PaymentId>,
}

impl SubscriptionRegistry {
    pub(super) fn new() -> Self {
        let section = |_| Section {
            topics: HashMap::new(),
            changed: Vec::new(),
            subscriber: Err("redis has not been reached yet".into()),
        };
        let sections = Partition::all().map(section).map(Mutex::new);
        Self {
            sections: sections.collect(),
        }
    }

    /// Counts a subscription, which [`unsubscribe`](Self::unsubscribe) ends. `Err`: why its server is not connected.
    pub(super) fn subscribe(&self, id: &PaymentId) -> Result<Subscription, String> {
        let mut section = self.section_of(id);
        let subscriber = section.subscriber.clone()?;
        let topic = section.topics.entry(id.clone()).or_default();
        topic.subscriptions += 1;
        if topic.state == SubscriptionState::Confirmed {
            return Ok(Subscription::Confirmed);
        }
        let (sender, receiver) = oneshot::channel();
        topic.waiting.push(sender);
        if topic.subscriptions == 1 {
            section.changed.push(id.clone());
            subscriber.notify_one();
        }
        Ok(Subscription::Sent(receiver))
    }

    pub(super) fn unsubscribe(&self, id: &PaymentId) {
        let mut section = self.section_of(id);
        if let Entry::Occupied(mut topic) = section.topics.entry(id.clone()) {
            topic.get_mut().subscriptions -= 1;
            if topic.get().subscriptions == 0 {
                topic.remove();
                if let Ok(subscriber) = section.subscriber.clone() {
                    section.changed.push(id.clone());
                    subscriber.notify_one();
                }
            }
        }
    }

    /// A subscriber has connected and must subscribe everything that is wanted. Returns it, partition by partition.
    pub(super) fn attach(
        &self,
        partitions: &[Partition],
        subscriber: &Arc<Notify>,
    ) -> Vec<PaymentId> {
        let mut wanted = Vec::new();
        for partition in partitions {
            let mut section = self.section(*partition);
            section.subscriber = Ok(Arc::clone(subscriber));
            section.changed.clear();
            for (id, topic) in &mut section.topics {
                topic.state = SubscriptionState::Sent;
                wanted.push(id.clone());
            }
        }
        wanted
    }

    /// A subscriber has lost its connection: pending subscriptions fail.
    pub(super) fn detach(&self, partitions: &[Partition], reason: &str) {
        for partition in partitions {
            let mut section = self.section(*partition);
            section.subscriber = Err(reason.to_owned());
            section.changed = Vec::new();
            for topic in section.topics.values_mut() {
                topic.state = SubscriptionState::Wanted;
                topic.waiting = Vec::new();
            }
        }
    }

    /// What is to be sent since the last call, partition by partition.
    pub(super) fn pending_commands(&self, partitions: &[Partition]) -> PubSubCommands {
        let mut commands = PubSubCommands::default();
        for partition in partitions {
            let mut section = self.section(*partition);
            for id in std::mem::take(&mut section.changed) {
                match section.topics.get_mut(&id) {
                    Some(topic) if topic.state == SubscriptionState::Wanted => {
                        topic.state = SubscriptionState::Sent;
                        commands.subscribe.push(id);
                    }
                    // Unsubscribed and subscribed again, or listed twice: it is sent already.
                    Some(_) => {}
                    None => commands.unsubscribe.push(id),
                }
            }
        }
        commands
    }

    /// The server confirmed it, and no other command about it is unconfirmed.
    pub(super) fn confirm(&self, id: &PaymentId) {
        if let Some(topic) = self.section_of(id).topics.get_mut(id)
            && topic.state == SubscriptionState::Sent
        {
            topic.state = SubscriptionState::Confirmed;
            for waiting in std::mem::take(&mut topic.waiting) {
                let _ = waiting.send(());
            }
        }
    }

    /// Why the partition's server is not connected, if it is not.
    pub(super) fn outage(&self, partition: Partition) -> Option<String> {
        self.section(partition).subscriber.as_ref().err().cloned()
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

    fn connected() -> (SubscriptionRegistry, Arc<Notify>) {
        let (registry, subscriber) = (SubscriptionRegistry::new(), Arc::new(Notify::new()));
        assert_eq!(registry.attach(&[partition()], &subscriber), []);
        (registry, subscriber)
    }

    fn sent(registry: &SubscriptionRegistry) -> oneshot::Receiver<()> {
        match registry.subscribe(&id()) {
            Ok(Subscription::Sent(receiver)) => receiver,
            Ok(Subscription::Confirmed) => panic!("confirmed too early"),
            Err(reason) => panic!("refused: {reason}"),
        }
    }

    fn only(subscribe: &[PaymentId], unsubscribe: &[PaymentId]) -> PubSubCommands {
        PubSubCommands {
            subscribe: subscribe.to_vec(),
            unsubscribe: unsubscribe.to_vec(),
        }
    }

    #[test]
    fn many_callers_share_one_subscription_and_its_confirmation() {
        let (registry, _subscriber) = connected();
        let mut waiting: Vec<_> = (0..10).map(|_| sent(&registry)).collect();
        assert_eq!(
            registry.pending_commands(&[partition()]),
            only(&[id()], &[])
        );
        assert_eq!(registry.pending_commands(&[partition()]), only(&[], &[]));
        registry.confirm(&id());
        for receiver in &mut waiting {
            assert_eq!(receiver.try_recv(), Ok(()));
        }
        assert!(matches!(
            registry.subscribe(&id()),
            Ok(Subscription::Confirmed)
        ));
    }

    #[test]
    fn the_last_caller_to_leave_unsubscribes() {
        let (registry, _subscriber) = connected();
        let _waiting = [sent(&registry), sent(&registry)];
        registry.pending_commands(&[partition()]);
        registry.unsubscribe(&id());
        assert_eq!(registry.pending_commands(&[partition()]), only(&[], &[]));
        registry.unsubscribe(&id());
        assert_eq!(
            registry.pending_commands(&[partition()]),
            only(&[], &[id()])
        );
    }

    #[test]
    fn a_caller_that_comes_as_the_last_leaves_is_subscribed() {
        let (registry, _subscriber) = connected();
        let _first = sent(&registry);
        registry.pending_commands(&[partition()]);
        registry.confirm(&id());
        registry.unsubscribe(&id());
        // It is not confirmed: the server may get an unsubscription before the subscription.
        let _second = sent(&registry);
        assert_eq!(
            registry.pending_commands(&[partition()]),
            only(&[id()], &[])
        );
    }

    #[test]
    fn a_late_confirmation_of_an_earlier_subscription_does_not_count() {
        let (registry, _subscriber) = connected();
        let _first = sent(&registry);
        registry.pending_commands(&[partition()]);
        registry.unsubscribe(&id());
        registry.pending_commands(&[partition()]);
        let mut second = sent(&registry);
        registry.confirm(&id());
        assert!(second.try_recv().is_err());
    }

    #[test]
    fn without_a_connected_server_a_subscription_fails() {
        let registry = SubscriptionRegistry::new();
        assert!(registry.subscribe(&id()).is_err());
        let subscriber = Arc::new(Notify::new());
        registry.attach(&[partition()], &subscriber);
        let mut waiting = sent(&registry);
        registry.detach(&[partition()], "the server is gone");
        assert!(matches!(
            waiting.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        ));
        assert_eq!(
            registry.subscribe(&id()).err().as_deref(),
            Some("the server is gone")
        );
        // The first one stays, and the next subscriber subscribes it.
        assert_eq!(registry.attach(&[partition()], &subscriber), [id()]);
        registry.confirm(&id());
        assert!(matches!(
            registry.subscribe(&id()),
            Ok(Subscription::Confirmed)
        ));
    }
}
