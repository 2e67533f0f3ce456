//! The fixed list of banks.

use serde::Serialize;

use crate::money::Amount;

/// A bank from which a payer may pay.
#[derive(Debug)]
pub(crate) struct Bank {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    message: &'static str,
    min_amount: i64,
    kind: &'static str,
    parent: &'static str,
    /// Whether this bank's notifications carry authorizer_operation_code; real banks differ.
    pub(crate) gives_operation_codes: bool,
}

/// Khipu's own test bank, for a payer without a chosen bank.
pub(crate) static DEMO_BANK: &Bank = &BANKS[0];

static BANKS: [Bank; 4] = [
    Bank {
        id: "Bawdf",
        name: "DemoBank",
        message: "Banco de demostración: ningún dinero se mueve.",
        min_amount: 1,
        kind: "Persona",
        parent: "",
        gives_operation_codes: false,
    },
    Bank {
        id: "Bawde",
        name: "DemoBank Empresas",
        message: "Puede requerir la firma de un segundo apoderado.",
        min_amount: 1,
        kind: "Empresa",
        parent: "Bawdf",
        gives_operation_codes: true,
    },
    Bank {
        id: "Bcord",
        name: "Banco de la Cordillera (demo)",
        message: "",
        min_amount: 1000,
        kind: "Persona",
        parent: "",
        gives_operation_codes: false,
    },
    Bank {
        id: "Bcost",
        name: "Banco de la Costa (demo)",
        message: "Primera transferencia a un destinatario nuevo: hasta $250.000.",
        min_amount: 500,
        kind: "Persona",
        parent: "",
        gives_operation_codes: true,
    },
];

impl Bank {
    pub(crate) fn find(id: &str) -> Option<&'static Self> {
        BANKS.iter().find(|bank| bank.id == id)
    }
}

#[derive(Serialize)]
pub(crate) struct BanksAnswer {
    banks: Vec<BankEntry>,
}

#[derive(Serialize)]
struct BankEntry {
    bank_id: &'static str,
    name: &'static str,
    message: &'static str,
    min_amount: Amount,
    #[serde(rename = "type")]
    kind: &'static str,
    parent: &'static str,
    logo_url: String,
}

/// `GET /v3/banks`. The sandbox serves the logos, so that pages with them work offline.
pub(crate) fn banks(base_url: &str) -> BanksAnswer {
    BanksAnswer {
        banks: BANKS
            .iter()
            .map(|bank| BankEntry {
                bank_id: bank.id,
                name: bank.name,
                message: bank.message,
                min_amount: Amount::whole(bank.min_amount),
                kind: bank.kind,
                parent: bank.parent,
                logo_url: logo_url(base_url),
            })
            .collect(),
    }
}

pub(crate) fn logo_url(base_url: &str) -> String {
    format!("{base_url}/assets/bank.svg")
}
