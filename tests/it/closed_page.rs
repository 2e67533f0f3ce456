//! The payer has closed the page: nobody watches, and the merchant is told all the same.

use std::time::{Duration, Instant};

use chasqui_tests::stage::Stage;
use serde_json::json;

use crate::return_hop::{hop, visit};

#[tokio::test]
async fn a_payer_who_came_back_and_left_with_the_notification_lost_still_pays_the_merchant() {
    /// From the return to the check that nobody has to watch for.
    const CHECKED_AFTER: Duration = Duration::from_secs(30);
    /// From a confirmation that was found by asking to its delivery.
    const DELIVERED_AFTER: Duration = Duration::from_secs(10);
    let (mut stage, front) = Stage::start_behind_front(|_| {}).await;
    let lost = json!({ "notify": { "drop": 1 } });
    stage.sandbox.behave(lost).await;
    let payment = stage.create(json!({})).await;
    let path = hop(&stage, &payment, "return_url").await;
    front.hold_answers();
    let returned = Instant::now();
    visit(&stage, &path, "es").await.expect(200);
    // Khipu was asked because the payer is back, and said pending.
    front.holds(1).await;
    stage.sandbox.act(&payment.id, "conciliate").await;
    front.release_answers();

    let due = CHECKED_AFTER + DELIVERED_AFTER;
    let delivery = stage.merchant.next_due_in(due).await;
    assert_eq!(delivery.payment_id(), payment.id);
    assert_eq!(delivery.header("chasqui-source"), "reconciliation");
    assert!(returned.elapsed() >= due, "{:?}", returned.elapsed());
    assert_eq!(
        front.questions_about(&payment.id),
        3,
        "then, at the check, and for the body"
    );
}
