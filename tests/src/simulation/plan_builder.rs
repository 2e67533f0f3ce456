//! Decides what happens to one payment, by the seed and the payment's number alone, before anything runs. Pure.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::plan::{Forgery, PageTransport, PaymentPlan, PlannedOutcome, SHOPS, ShopAnswer, Step};

/// The longest pause between two steps. Some steps have none, so that events coincide in every order.
const LONGEST_PAUSE: Duration = Duration::from_millis(900);

/// Percentage of paid payments whose notification never comes.
const UNNOTIFIED: u32 = 20;

/// Percentages of all payments.
const REFUSED_BY_SHOP: u32 = 20;
const FORGED: u32 = 10;
const READ_BY_SHOP: u32 = 10;

/// The percentage of payments with each outcome.
const OUTCOME_SHARES: [(PlannedOutcome, u32); 13] = [
    (PlannedOutcome::Paid, 28),
    (PlannedOutcome::PaidAtOnce, 6),
    (PlannedOutcome::PaidAfterGivingUp, 20),
    (PlannedOutcome::PaidAfterExpiry, 6),
    (PlannedOutcome::PaidAfterDeletion, 4),
    (PlannedOutcome::MarkedAsPaid, 4),
    (PlannedOutcome::Reversed, 5),
    (PlannedOutcome::Pending, 8),
    (PlannedOutcome::Verifying, 5),
    (PlannedOutcome::Rejected, 6),
    (PlannedOutcome::Abuse, 2),
    (PlannedOutcome::Expired, 3),
    (PlannedOutcome::Deleted, 3),
];

const FORGERIES: [Forgery; 5] = [
    Forgery::WrongSecret,
    Forgery::Hexadecimal,
    Forgery::ChangedBody,
    Forgery::Stale,
    Forgery::OtherAmount,
];

/// A function of seed and number alone.
pub(super) fn build_plan(seed: u64, number: usize) -> PaymentPlan {
    PlanBuilder::new(seed, number).build(number)
}

struct PlanBuilder {
    rng: StdRng,
    steps: Vec<Step>,
    /// What the payer can do next depends on this.
    state: PayerState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PayerState {
    Pending,
    Verifying,
    GivenUp,
}

impl PlanBuilder {
    fn new(seed: u64, number: usize) -> Self {
        Self {
            rng: rng(seed, number),
            steps: Vec::new(),
            state: PayerState::Pending,
        }
    }

    fn build(mut self, number: usize) -> PaymentPlan {
        let outcome = self.outcome();
        let shop = self.rng.random_range(0..SHOPS);
        let first_answer = self.first_answer();
        let has_page = self.happens(70);
        if has_page && self.happens(40) {
            // Before the payer goes to the bank.
            self.open_page();
        }
        self.add_steps(outcome);
        if has_page {
            self.pause();
            if self.happens(60) {
                self.open_page();
            } else if self.happens(60) {
                self.steps.push(Step::ClosePage);
            }
        }
        self.insert_extras();
        PaymentPlan {
            number,
            outcome,
            shop,
            first_answer,
            steps: self.steps,
        }
    }

    fn add_steps(&mut self, outcome: PlannedOutcome) {
        match outcome {
            PlannedOutcome::Paid => {
                self.authorize();
                self.conciliate("conciliate");
            }
            PlannedOutcome::PaidAtOnce => self.conciliate("conciliate"),
            PlannedOutcome::PaidAfterGivingUp => {
                for _ in 0..self.rng.random_range(1..=3) {
                    self.give_up();
                }
                self.authorize();
                self.conciliate("conciliate");
            }
            PlannedOutcome::PaidAfterExpiry => {
                self.khipu("expire");
                self.perhaps_return(50);
                if self.happens(70) {
                    self.authorize();
                }
                self.conciliate("conciliate");
            }
            PlannedOutcome::PaidAfterDeletion => {
                self.delete();
                self.perhaps_return(30);
                self.conciliate("conciliate");
            }
            PlannedOutcome::MarkedAsPaid => {
                if self.happens(50) {
                    self.authorize();
                }
                self.conciliate("mark-paid");
            }
            PlannedOutcome::Reversed => {
                self.authorize();
                self.conciliate("conciliate");
                self.khipu("reverse");
            }
            PlannedOutcome::Pending => self.perhaps_return(60),
            PlannedOutcome::Verifying => self.authorize(),
            PlannedOutcome::Rejected => {
                if self.happens(40) {
                    self.give_up();
                }
                if self.happens(50) {
                    self.authorize();
                }
                self.refuse("reject");
                self.perhaps_return(50);
            }
            PlannedOutcome::Abuse => {
                self.refuse("abuse");
                self.perhaps_return(30);
            }
            PlannedOutcome::Expired => {
                self.perhaps_return(40);
                self.khipu("expire");
            }
            PlannedOutcome::Deleted => {
                self.perhaps_return(20);
                self.delete();
            }
        }
    }

    fn authorize(&mut self) {
        if self.state != PayerState::Verifying {
            self.khipu("authorize");
            self.state = PayerState::Verifying;
            self.perhaps_return(60);
        }
    }

    /// Rejects, or marks as abuse. A payer who has given up must authorize before giving up again.
    fn refuse(&mut self, action: &'static str) {
        if self.state == PayerState::GivenUp {
            self.authorize();
        }
        self.khipu(action);
        self.state = PayerState::GivenUp;
    }

    /// The payer may return before or after.
    fn conciliate(&mut self, action: &'static str) {
        self.pause();
        let step = if self.happens(UNNOTIFIED) {
            Step::KhipuUnnotified(action)
        } else {
            Step::Khipu(action)
        };
        self.steps.push(step);
        self.perhaps_return(15);
    }

    fn give_up(&mut self) {
        match self.rng.random_range(0..4) {
            // Only the payer's way back, which Khipu does not see.
            0 => {
                self.pause();
                self.steps.push(Step::GiveUp);
            }
            1 => self.refuse("abuse"),
            2 => self.refuse("reject"),
            _ => {
                self.authorize();
                self.refuse("reject");
            }
        }
        self.perhaps_return(40);
        if self.happens(30) {
            self.open_page();
        }
    }

    fn delete(&mut self) {
        self.pause();
        self.steps.push(Step::Delete);
    }

    fn khipu(&mut self, action: &'static str) {
        self.pause();
        self.steps.push(Step::Khipu(action));
    }

    fn perhaps_return(&mut self, percent: u32) {
        if self.happens(percent) {
            self.pause();
            self.steps.push(Step::Return);
            if self.happens(40) {
                self.open_page();
            }
        }
    }

    fn open_page(&mut self) {
        let transport = if self.happens(70) {
            PageTransport::WebSocket
        } else {
            PageTransport::Polling
        };
        self.steps.push(Step::OpenPage(transport));
    }

    /// Inserts steps that may happen at any moment.
    fn insert_extras(&mut self) {
        if self.happens(FORGED) {
            let forgery = FORGERIES[self.rng.random_range(0..FORGERIES.len())];
            self.insert(Step::Forge(forgery));
        }
        if self.happens(READ_BY_SHOP) {
            self.insert(Step::Read);
        }
        if self.happens(READ_BY_SHOP) {
            self.insert(Step::ReadStatus);
        }
    }

    fn insert(&mut self, step: Step) {
        let at = self.rng.random_range(0..=self.steps.len());
        self.steps.insert(at, step);
    }

    fn pause(&mut self) {
        if self.happens(70) {
            let part = self.rng.random::<f64>();
            self.steps.push(Step::Pause(LONGEST_PAUSE.mul_f64(part)));
        }
    }

    fn outcome(&mut self) -> PlannedOutcome {
        let mut number = self.rng.random_range(0..100);
        for (outcome, share) in OUTCOME_SHARES {
            if number < share {
                return outcome;
            }
            number -= share;
        }
        PlannedOutcome::Paid
    }

    fn first_answer(&mut self) -> ShopAnswer {
        if self.happens(REFUSED_BY_SHOP) {
            if self.happens(60) {
                ShopAnswer::Fails
            } else {
                ShopAnswer::TakesSlowly
            }
        } else {
            ShopAnswer::Takes
        }
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }
}

/// One generator per payment, so that a change to one plan does not change the others.
fn rng(seed: u64, number: usize) -> StdRng {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    StdRng::seed_from_u64(seed.wrapping_add(number.wrapping_mul(SPREAD)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_decides_the_same() {
        for number in 0..200 {
            assert_eq!(build_plan(7, number), build_plan(7, number));
        }
        let differ = (0..200).filter(|&number| build_plan(7, number) != build_plan(8, number));
        assert!(differ.count() > 190);
    }

    #[test]
    fn every_outcome_and_every_failure_occurs_within_a_few_hundred() {
        let shares: u32 = OUTCOME_SHARES.iter().map(|(_, share)| share).sum();
        assert_eq!(shares, 100);
        let plans: Vec<PaymentPlan> = (0..500).map(|number| build_plan(1, number)).collect();
        let outcomes: HashSet<PlannedOutcome> = plans.iter().map(|plan| plan.outcome).collect();
        assert_eq!(outcomes.len(), OUTCOME_SHARES.len());
        for outcome in [
            PlannedOutcome::Paid,
            PlannedOutcome::PaidAfterGivingUp,
            PlannedOutcome::Reversed,
        ] {
            let mut of_it = plans.iter().filter(|plan| plan.outcome == outcome);
            assert!(of_it.any(PaymentPlan::is_unnotified), "{outcome:?}");
        }
        for forgery in FORGERIES {
            let forged = |plan: &PaymentPlan| plan.steps.contains(&Step::Forge(forgery));
            assert!(plans.iter().any(forged), "{forgery:?}");
        }
        for answer in [ShopAnswer::Fails, ShopAnswer::TakesSlowly] {
            assert!(plans.iter().any(|plan| plan.first_answer == answer));
        }
    }
}
