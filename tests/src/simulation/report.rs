//! What a simulation found: numbers, and the payments that went wrong.

use std::fmt::{self, Write};
use std::fs;
use std::time::Duration;

/// Findings that are listed in full.
const LISTED: usize = 20;

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// Paid at Khipu, and not delivered to the shop.
    Lost,
    /// A status was shown or delivered that is not Khipu's, or a version decreased.
    Wrong,
    /// One payment, delivered to the shop as two.
    Duplicate,
}

#[derive(Debug, Clone)]
pub struct Finding {
    pub kind: FindingKind,
    pub what: String,
}

#[derive(Debug, Clone, Default)]
pub struct Report {
    pub seed: u64,
    pub storage: String,
    pub gateways: usize,
    pub payments: usize,
    /// Made at Khipu by a request whose answer was lost, and left alone since.
    pub abandoned: usize,
    /// Attempts that Khipu made to notify.
    pub attempts: u64,
    pub dropped: u64,
    pub duplicated: u64,
    pub corrupted: u64,
    /// Payments whose notification never came.
    pub unnotified: usize,
    pub forged: usize,
    pub kills: usize,
    /// Pages that were open at the end.
    pub open_pages: usize,
    pub deliveries: usize,
    /// Attempts beyond the first of each delivery.
    pub repeated: usize,
    /// Payments whose status was learnt only because it was asked for at the end.
    pub learnt_by_visit: usize,
    pub duration: Duration,
    pub findings: Vec<Finding>,
}

impl Report {
    pub fn count(&self, kind: FindingKind) -> usize {
        let of_kind = |finding: &&Finding| finding.kind == kind;
        self.findings.iter().filter(of_kind).count()
    }

    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// As Markdown, with the machine that it ran on.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.rows() {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        format!("| | |\n|---|---|\n{text}")
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let build = if cfg!(debug_assertions) {
            "development"
        } else {
            "release"
        };
        vec![
            ("seed", self.seed.to_string()),
            ("storage", self.storage.clone()),
            ("gateways", format!("{} ({build} build)", self.gateways)),
            ("payments", self.payments.to_string()),
            (
                "abandoned by their shop, unpaid",
                self.abandoned.to_string(),
            ),
            ("attempts to notify", self.attempts.to_string()),
            ("… dropped", self.dropped.to_string()),
            ("… duplicates", self.duplicated.to_string()),
            ("… corrupted", self.corrupted.to_string()),
            ("payments never notified", self.unnotified.to_string()),
            ("forged notifications", self.forged.to_string()),
            ("kills", self.kills.to_string()),
            ("pages open at the end", self.open_pages.to_string()),
            ("deliveries", self.deliveries.to_string()),
            ("… attempted again", self.repeated.to_string()),
            (
                "learnt only by a visit at the end",
                self.learnt_by_visit.to_string(),
            ),
            ("**lost**", format!("**{}**", self.count(FindingKind::Lost))),
            (
                "**wrong**",
                format!("**{}**", self.count(FindingKind::Wrong)),
            ),
            (
                "**delivered twice**",
                format!("**{}**", self.count(FindingKind::Duplicate)),
            ),
            ("duration", format!("{} s", self.duration.as_secs())),
            ("machine", machine()),
        ]
    }
}

/// For a terminal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.rows() {
            writeln!(f, "{name}: {value}")?;
        }
        for Finding { kind, what } in self.findings.iter().take(LISTED) {
            writeln!(f, "{kind:?}: {what}")?;
        }
        let unlisted = self.findings.len().saturating_sub(LISTED);
        if unlisted > 0 {
            writeln!(f, "and {unlisted} more")?;
        }
        Ok(())
    }
}

fn machine() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}
