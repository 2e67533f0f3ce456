//! Injected failures and their probabilities: the settings of `PUT /sandbox/behaviour` and the seeded generators.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// The longest delay of a setting; a larger number is refused.
const LONGEST_WAIT_MS: u64 = 24 * 60 * 60 * 1000;

/// The behaviour of the simulated Khipu. Absent fields of a PUT take these defaults: no failures, a payment
/// authorised on the bank page is conciliated four seconds later, and a refund is paid as late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Behaviour {
    /// From "authorise" on the bank page to conciliation; `null`: never automatically.
    pub(crate) conciliation_delay_ms: Option<u64>,
    /// From the request of a refund to its payment; `null`: never automatically.
    pub(crate) refund_delay_ms: Option<u64>,
    pub(crate) notify: NotifyBehaviour,
    pub(crate) api: ApiBehaviour,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotifyBehaviour {
    /// Probability that an attempt is not sent. The sandbox then retries, as after any failure.
    pub(crate) drop: f64,
    /// Probability that an attempt is sent twice at once, with the same bytes and signature.
    pub(crate) duplicate: f64,
    /// From conciliation to the first attempt.
    pub(crate) delay_ms: u64,
    /// Probability that a notification waits until a later one has overtaken it.
    pub(crate) reorder: f64,
    /// Probability that an attempt carries a signature that does not verify.
    pub(crate) corrupt_signature: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ApiBehaviour {
    /// Delay before a call of `/v3` takes effect.
    pub(crate) latency_ms: u64,
    /// Maximum delay, uniformly distributed, between a call's effect and its answer, which may then be outdated.
    pub(crate) answer_delay_ms: u64,
    /// Probability that a call is answered with `status` and has no effect.
    pub(crate) error_rate: f64,
    /// The status code of those errors.
    pub(crate) status: u16,
    /// Probability that a successful call is answered 500.
    pub(crate) fail_after_effect: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            conciliation_delay_ms: Some(4000),
            refund_delay_ms: Some(4000),
            notify: NotifyBehaviour::default(),
            api: ApiBehaviour::default(),
        }
    }
}

impl Default for ApiBehaviour {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            answer_delay_ms: 0,
            error_rate: 0.0,
            status: 500,
            fail_after_effect: 0.0,
        }
    }
}

impl Behaviour {
    /// Parses a PUT. The error names the field and its valid values.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let behaviour: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        for (field, probability) in [
            ("notify.drop", behaviour.notify.drop),
            ("notify.duplicate", behaviour.notify.duplicate),
            ("notify.reorder", behaviour.notify.reorder),
            (
                "notify.corrupt_signature",
                behaviour.notify.corrupt_signature,
            ),
            ("api.error_rate", behaviour.api.error_rate),
            ("api.fail_after_effect", behaviour.api.fail_after_effect),
        ] {
            if !(0.0..=1.0).contains(&probability) {
                return Err(format!("{field} is a probability: use 0 to 1"));
            }
        }
        for (field, wait) in [
            (
                "conciliation_delay_ms",
                behaviour.conciliation_delay_ms.unwrap_or(0),
            ),
            ("refund_delay_ms", behaviour.refund_delay_ms.unwrap_or(0)),
            ("notify.delay_ms", behaviour.notify.delay_ms),
            ("api.latency_ms", behaviour.api.latency_ms),
            ("api.answer_delay_ms", behaviour.api.answer_delay_ms),
        ] {
            if wait > LONGEST_WAIT_MS {
                return Err(format!(
                    "{field} is too long: use at most {LONGEST_WAIT_MS}"
                ));
            }
        }
        if !(400..=599).contains(&behaviour.api.status) {
            return Err("api.status is the code of an error: use 400 to 599".to_owned());
        }
        Ok(behaviour)
    }

    pub(crate) fn conciliation_delay(&self) -> Option<Duration> {
        self.conciliation_delay_ms.map(Duration::from_millis)
    }

    pub(crate) fn refund_delay(&self) -> Option<Duration> {
        self.refund_delay_ms.map(Duration::from_millis)
    }
}

/// The injected failures of one notification attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptFaults {
    pub(crate) dropped: bool,
    pub(crate) duplicated: bool,
    pub(crate) corrupted: bool,
}

/// The injected failure of one API call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallFaults {
    pub(crate) latency: Duration,
    /// Answer this without doing anything.
    pub(crate) refused_with: Option<u16>,
    /// Do it, then answer 500.
    pub(crate) fails_after_effect: bool,
    /// Do it, then wait.
    pub(crate) answer_delay: Duration,
}

/// The current behaviour and the random generators. Calls and notifications have separate generators, each
/// drawn a fixed number of times, so that neither affects the other and changing one setting does not change
/// the decisions of the rest. The same seed and order of events give the same decisions.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    seed: u64,
    state: Mutex<InjectorState>,
}

#[derive(Debug)]
struct InjectorState {
    behaviour: Behaviour,
    calls: StdRng,
    attempts: StdRng,
    holds: StdRng,
}

impl InjectorState {
    fn new(seed: u64, behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            calls: StdRng::seed_from_u64(seed),
            attempts: StdRng::seed_from_u64(seed.wrapping_add(1)),
            holds: StdRng::seed_from_u64(seed.wrapping_add(2)),
        }
    }
}

impl FaultInjector {
    pub(crate) fn new(seed: u64, behaviour: Behaviour) -> Self {
        Self {
            seed,
            state: Mutex::new(InjectorState::new(seed, behaviour)),
        }
    }

    /// Replaces the behaviour and restarts the generators, so that a scenario does not depend on
    /// earlier draws.
    pub(crate) fn replace(&self, behaviour: Behaviour) {
        *self.state() = InjectorState::new(self.seed, behaviour);
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        self.state().behaviour.clone()
    }

    pub(crate) fn for_call(&self) -> CallFaults {
        let state = &mut *self.state();
        let api = &state.behaviour.api;
        let (refused, fails_after_effect) = (
            hit(&mut state.calls, api.error_rate),
            hit(&mut state.calls, api.fail_after_effect),
        );
        let part = state.calls.random::<f64>();
        CallFaults {
            answer_delay: Duration::from_millis(api.answer_delay_ms).mul_f64(part),
            latency: Duration::from_millis(api.latency_ms),
            refused_with: refused.then_some(api.status),
            fails_after_effect,
        }
    }

    pub(crate) fn for_attempt(&self) -> AttemptFaults {
        let state = &mut *self.state();
        let notify = &state.behaviour.notify;
        AttemptFaults {
            dropped: hit(&mut state.attempts, notify.drop),
            duplicated: hit(&mut state.attempts, notify.duplicate),
            corrupted: hit(&mut state.attempts, notify.corrupt_signature),
        }
    }

    /// Whether a later notification should overtake this one.
    pub(crate) fn holds_notification(&self) -> bool {
        let state = &mut *self.state();
        hit(&mut state.holds, state.behaviour.notify.reorder)
    }

    fn state(&self) -> MutexGuard<'_, InjectorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// InjectorState exactly once, for any probability.
fn hit(dice: &mut StdRng, probability: f64) -> bool {
    dice.random::<f64>() < probability
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Behaviour {
        Behaviour::read(
            br#"{"notify":{"drop":0.5,"corrupt_signature":0.5},"api":{"error_rate":0.5}}"#,
        )
        .expect("a behaviour")
    }

    fn drops(injector: &FaultInjector) -> Vec<bool> {
        (0..64).map(|_| injector.for_attempt().dropped).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_decisions() {
        let first = drops(&FaultInjector::new(7, half()));
        assert_eq!(first, drops(&FaultInjector::new(7, half())));
        assert_ne!(first, drops(&FaultInjector::new(8, half())));
        assert!(first.contains(&true) && first.contains(&false));
    }

    #[test]
    fn calls_do_not_change_what_happens_to_notifications() {
        let injector = FaultInjector::new(7, half());
        let alone = drops(&FaultInjector::new(7, half()));
        for _ in 0..10 {
            injector.for_call();
        }
        assert_eq!(alone, drops(&injector));
    }

    #[test]
    fn answer_delays_are_spread_up_to_the_longest() {
        let behaviour = Behaviour::read(br#"{"api":{"answer_delay_ms":1000}}"#).expect("valid");
        let injector = FaultInjector::new(7, behaviour);
        let delays: Vec<_> = (0..64).map(|_| injector.for_call().answer_delay).collect();
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(1)));
        assert!(
            delays
                .iter()
                .any(|delay| *delay < Duration::from_millis(300))
        );
        assert!(
            delays
                .iter()
                .any(|delay| *delay > Duration::from_millis(700))
        );
    }

    #[test]
    fn probabilities_0_and_1_are_exact() {
        let injector = FaultInjector::new(
            1,
            Behaviour::read(br#"{"notify":{"drop":1}}"#).expect("a behaviour"),
        );
        for _ in 0..1000 {
            let faults = injector.for_attempt();
            assert!(faults.dropped && !faults.duplicated && !faults.corrupted);
        }
    }

    #[test]
    fn null_conciliation_delay_is_never_and_absent_is_the_default() {
        let never = Behaviour::read(br#"{"conciliation_delay_ms":null}"#).expect("a behaviour");
        assert_eq!(never.conciliation_delay(), None);
        let absent = Behaviour::read(b"{}").expect("a behaviour");
        assert_eq!(absent, Behaviour::default());
        assert_eq!(absent.conciliation_delay(), Some(Duration::from_secs(4)));
    }

    #[test]
    fn errors_name_their_field() {
        for (body, field) in [
            (r#"{"notify":{"dorp":1}}"#, "dorp"),
            (r#"{"delay":1}"#, "delay"),
            (r#"{"refund_delay_ms":99999999999}"#, "refund_delay_ms"),
            (r#"{"notify":{"drop":1.5}}"#, "notify.drop"),
            (r#"{"api":{"error_rate":-0.1}}"#, "api.error_rate"),
            (r#"{"api":{"status":200}}"#, "api.status"),
            (r#"{"api":{"latency_ms":99999999999}}"#, "api.latency_ms"),
            (
                r#"{"api":{"answer_delay_ms":99999999999}}"#,
                "api.answer_delay_ms",
            ),
        ] {
            let error = Behaviour::read(body.as_bytes()).expect_err(body);
            assert!(error.contains(field), "{body}: {error}");
        }
    }
}
