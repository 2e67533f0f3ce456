//! Draws one payment's steps from its own random numbers.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Ending, Forgery, Plan, SHOPS, ShopAnswer, Step, Transport};

/// The longest pause between two steps. Some are none at all, so that things meet in every order.
const LONGEST_PAUSE: Duration = Duration::from_millis(900);

/// Of 100 payments that are paid, those whose notification never comes.
const UNNOTIFIED: u32 = 20;

/// Of 100 payments.
const REFUSED_BY_SHOP: u32 = 20;
const FORGED: u32 = 10;
const READ_BY_SHOP: u32 = 10;

/// Of 100 payments, how many end so.
pub(super) const ENDINGS: [(Ending, u32); 13] = [
    (Ending::Paid, 28),
    (Ending::PaidAtOnce, 6),
    (Ending::PaidAfterGivingUp, 20),
    (Ending::PaidAfterExpiry, 6),
    (Ending::PaidAfterDeletion, 4),
    (Ending::MarkedAsPaid, 4),
    (Ending::Reversed, 5),
    (Ending::Pending, 8),
    (Ending::Verifying, 5),
    (Ending::Rejected, 6),
    (Ending::Abuse, 2),
    (Ending::Expired, 3),
    (Ending::Deleted, 3),
];

pub(super) const FORGERIES: [Forgery; 5] = [
    Forgery::WrongSecret,
    Forgery::Hexadecimal,
    Forgery::ChangedBody,
    Forgery::Stale,
    Forgery::OtherAmount,
];

pub(super) struct PlanBuilder {
    dice: StdRng,
    steps: Vec<Step>,
    /// As far as it decides what the payer can do next.
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Verifying,
    GivenUp,
}

impl PlanBuilder {
    pub(super) fn new(seed: u64, number: usize) -> Self {
        Self {
            dice: dice(seed, number),
            steps: Vec::new(),
            state: State::Pending,
        }
    }

    pub(super) fn build(mut self, number: usize) -> Plan {
        let ending = self.ending();
        let shop = self.dice.random_range(0..SHOPS);
        let first_answer = self.first_answer();
        let has_page = self.happens(70);
        if has_page && self.happens(40) {
            // Before the payer goes to the bank.
            self.open_page();
        }
        self.story(ending);
        if has_page {
            self.pause();
            if self.happens(60) {
                self.open_page();
            } else if self.happens(60) {
                self.steps.push(Step::ClosePage);
            }
        }
        self.sprinkle();
        Plan {
            number,
            ending,
            shop,
            first_answer,
            steps: self.steps,
        }
    }

    fn story(&mut self, ending: Ending) {
        match ending {
            Ending::Paid => {
                self.authorize();
                self.conciliate("conciliate");
            }
            Ending::PaidAtOnce => self.conciliate("conciliate"),
            Ending::PaidAfterGivingUp => {
                for _ in 0..self.dice.random_range(1..=3) {
                    self.give_up();
                }
                self.authorize();
                self.conciliate("conciliate");
            }
            Ending::PaidAfterExpiry => {
                self.khipu("expire");
                self.perhaps_return(50);
                if self.happens(70) {
                    self.authorize();
                }
                self.conciliate("conciliate");
            }
            Ending::PaidAfterDeletion => {
                self.delete();
                self.perhaps_return(30);
                self.conciliate("conciliate");
            }
            Ending::MarkedAsPaid => {
                if self.happens(50) {
                    self.authorize();
                }
                self.conciliate("mark-paid");
            }
            Ending::Reversed => {
                self.authorize();
                self.conciliate("conciliate");
                self.khipu("reverse");
            }
            Ending::Pending => self.perhaps_return(60),
            Ending::Verifying => self.authorize(),
            Ending::Rejected => {
                if self.happens(40) {
                    self.give_up();
                }
                if self.happens(50) {
                    self.authorize();
                }
                self.refuse("reject");
                self.perhaps_return(50);
            }
            Ending::Abuse => {
                self.refuse("abuse");
                self.perhaps_return(30);
            }
            Ending::Expired => {
                self.perhaps_return(40);
                self.khipu("expire");
            }
            Ending::Deleted => {
                self.perhaps_return(20);
                self.delete();
            }
        }
    }

    fn authorize(&mut self) {
        if self.state != State::Verifying {
            self.khipu("authorize");
            self.state = State::Verifying;
            self.perhaps_return(60);
        }
    }

    /// Reject, or mark as abuse. One who has given up must begin again to give up again.
    fn refuse(&mut self, action: &'static str) {
        if self.state == State::GivenUp {
            self.authorize();
        }
        self.khipu(action);
        self.state = State::GivenUp;
    }

    /// What the payer does about it may come before or after.
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
        match self.dice.random_range(0..4) {
            // Only the way back: Khipu knows nothing of it.
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
            Transport::WebSocket
        } else {
            Transport::Polling
        };
        self.steps.push(Step::OpenPage(transport));
    }

    /// What may happen at any moment.
    fn sprinkle(&mut self) {
        if self.happens(FORGED) {
            let forgery = FORGERIES[self.dice.random_range(0..FORGERIES.len())];
            self.insert(Step::Forge(forgery));
        }
        if self.happens(READ_BY_SHOP) {
            self.insert(Step::Read);
        }
        if self.happens(READ_BY_SHOP) {
            self.insert(Step::Ask);
        }
    }

    fn insert(&mut self, step: Step) {
        let at = self.dice.random_range(0..=self.steps.len());
        self.steps.insert(at, step);
    }

    fn pause(&mut self) {
        if self.happens(70) {
            let part = self.dice.random::<f64>();
            self.steps.push(Step::Pause(LONGEST_PAUSE.mul_f64(part)));
        }
    }

    fn ending(&mut self) -> Ending {
        let mut throw = self.dice.random_range(0..100);
        for (ending, share) in ENDINGS {
            if throw < share {
                return ending;
            }
            throw -= share;
        }
        Ending::Paid
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
        self.dice.random_range(0..100) < percent
    }
}

/// Of their own for every payment, so that one more step in one leaves the others as they were.
fn dice(seed: u64, number: usize) -> StdRng {
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    StdRng::seed_from_u64(seed.wrapping_add(number.wrapping_mul(SPREAD)))
}
