//! Statuses as version 0.1 numbered them.

use super::*;
use crate::store::suite::{confirming, id, updating};

#[tokio::test]
async fn what_0_1_wrote_is_read_as_today_and_moves_on_from_there() {
    let server = start().await;
    let store = open_alone(&server).await;
    for (old, today) in [
        (1, 11),
        (2, 12),
        (3, 15),
        (4, 16),
        (5, 17),
        (6, 1000),
        (7, 1001),
    ] {
        let name = format!("p{old}");
        store
            .observe(&id(&name), &confirming("{}", 10))
            .await
            .expect("begun");
        let key = Partition::of(&name).key("payment", &name);
        server
            .command(&["HSET", &key, "status", &old.to_string()])
            .await;
        let read = store.states(&[id(&name)]).await.expect("read")[0].expect("known");
        assert_eq!(read.version.number(), today);
        let outcome = store
            .observe(&id(&name), &updating(Some(today), 27, 20))
            .await
            .expect("observe");
        assert_eq!(outcome.before.expect("known").version.number(), today);
        assert_eq!(outcome.after.version.number(), today.max(27));
    }
}
