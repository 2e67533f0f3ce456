//! `/`: what the sandbox is, its accounts, and its payments with a button for every possible action.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use url::form_urlencoded;

use crate::action_request::{ActionName, refusal_error};
use crate::api_error::ApiError;
use crate::bank_page::{asset, see_other};
use crate::index_view::{AccountRow, IndexPage, render};
use crate::payment::Payer;
use crate::simulator::Simulator;

/// Payments on one page.
const PAGE_LENGTH: usize = 25;

pub(crate) fn routes() -> Router<Simulator> {
    Router::new()
        .route("/", get(show).post(act))
        .route("/assets/index.css", get(style))
}

/// Which payments are shown: those of one account or of all, and which page of them.
#[derive(Default)]
struct Selection {
    account: Option<String>,
    /// From 1.
    page: usize,
}

impl Selection {
    fn read(fields: &[u8]) -> Self {
        Self {
            account: field(fields, "account").filter(|name| !name.is_empty()),
            page: field(fields, "page")
                .and_then(|page| page.parse().ok())
                .unwrap_or(1)
                .max(1),
        }
    }
}

async fn show(State(simulator): State<Simulator>, RawQuery(query): RawQuery) -> Response {
    let selection = Selection::read(query.unwrap_or_default().as_bytes());
    index(&simulator, &selection, StatusCode::OK, None)
}

/// A button: applies the action and leads back to the payment. A refusal is shown above the list.
async fn act(State(simulator): State<Simulator>, body: Bytes) -> Response {
    let selection = Selection::read(&body);
    let id = field(&body, "payment_id").unwrap_or_default();
    match apply(&simulator, &id, &body) {
        Ok(()) => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            if let Some(account) = &selection.account {
                query.append_pair("account", account);
            }
            query.append_pair("page", &selection.page.to_string());
            see_other(&format!("/?{}#{id}", query.finish()))
        }
        Err(error) => index(
            &simulator,
            &selection,
            error.status(),
            Some(error.message()),
        ),
    }
}

fn apply(simulator: &Simulator, id: &str, body: &[u8]) -> Result<(), ApiError> {
    let name = field(body, "action").unwrap_or_default();
    let Some(name) = ActionName::find(&name) else {
        return Err(ApiError::bad_request(format!("there is no action {name}")));
    };
    let action = name.action(Payer::default());
    let acted = if field(body, "notify").as_deref() == Some("false") {
        simulator.act_unnotified(id, action)
    } else {
        simulator.act(id, action)
    };
    let refused = |refusal| refusal_error(refusal, name);
    acted.map(drop).map_err(refused)
}

fn index(
    simulator: &Simulator,
    selection: &Selection,
    status: StatusCode,
    error: Option<&str>,
) -> Response {
    let accounts = simulator.accounts();
    let counts = simulator.payment_counts();
    let rows: Vec<_> = accounts
        .iter()
        .map(|account| AccountRow {
            account,
            is_individual: accounts.is_individual(account),
            payments: counts.get(&account.receiver_id).copied().unwrap_or(0),
        })
        .collect();
    let selected = selection.account.as_deref();
    let selected = rows.iter().find(|row| Some(&*row.account.name) == selected);
    let total = selected.map_or_else(|| counts.values().sum(), |row| row.payments);
    let pages = total.div_ceil(PAGE_LENGTH).max(1);
    let page = selection.page.min(pages);
    let owner = selected.map(|row| row.account.receiver_id);
    let payments = simulator.newest_payments(owner, (page - 1) * PAGE_LENGTH, PAGE_LENGTH);
    render(
        status,
        &IndexPage {
            base_url: simulator.base_url(),
            accounts: &rows,
            selected: selected.map(|row| &*row.account.name),
            payments: &payments,
            total,
            page,
            pages,
            error,
        },
    )
}

/// The first value of a field of a form or query.
fn field(fields: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(fields)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("index.css"))
}
