use std::collections::BTreeSet;

use chasqui_core::Permission;

use crate::config::Config;
use crate::config::tests::{ACCOUNT, problems};

#[test]
fn two_accounts_with_one_receiver_are_refused_by_their_names() {
    let twice = [ACCOUNT, &ACCOUNT.replace("shop", "branch")].concat();
    let text = problems(&twice);
    assert!(
        text.starts_with("accounts[1].receiver_id is the same for shop and branch"),
        "{text}"
    );
    let other = twice.replacen("990939", "990940", 1);
    Config::from_toml(&other).expect("valid");
}

#[test]
fn the_api_key_is_not_the_secret() {
    let text = problems(&ACCOUNT.replace("not-a-real-secret", "not-a-real-key"));
    assert!(
        text.contains("accounts[0].khipu_secrets holds the API key"),
        "{text}"
    );
}

#[test]
fn a_bad_webhook_secret_is_reported_with_its_key() {
    for (secret, why) in [
        ("c2VjcmV0", "must begin with whsec_"),
        ("whsec_???", "must be whsec_ and then base64"),
        ("whsec_c2VjcmV0", "must hold 24 to 64 bytes"),
    ] {
        let text = problems(&format!("{ACCOUNT}\nwebhook_secrets = [\"{secret}\"]\n"));
        assert!(
            text.contains(&format!("accounts[0].webhook_secrets[0] {why}")),
            "{text}"
        );
    }
}

#[test]
fn an_unencrypted_notify_url_needs_a_permission_or_a_private_network() {
    let public = "[server]\npublic_url = \"https://pay.example\"";
    let account = |notify_url: &str, more: &str| {
        Config::from_toml(&format!(
            "{public}\n{ACCOUNT}\nnotify_url = {notify_url:?}\n{more}"
        ))
    };
    for (notify_url, more) in [
        ("https://shop.example/k", ""),
        ("http://shop.example/k", "allow_http_destinations = true"),
        (
            "http://10.0.0.7/k",
            "allow_private_destinations = [\"10.0.0.0/8\"]",
        ),
    ] {
        account(notify_url, more).expect(notify_url);
    }
    for notify_url in [
        "http://shop.example/k",
        "http://192.0.2.1/k",
        "http://127.0.0.1/k",
    ] {
        let text = account(notify_url, "").expect_err(notify_url).to_string();
        assert!(
            text.starts_with("accounts[0].notify_url must be https"),
            "{text}"
        );
    }
    let text = account("https://user:pass@shop.example/k", "")
        .expect_err("user")
        .to_string();
    assert!(text.contains("must not carry a user name"), "{text}");
    let text = account("ftp://shop.example", "")
        .expect_err("ftp")
        .to_string();
    assert!(
        text.starts_with("accounts[0].notify_url must be an http"),
        "{text}"
    );
    let local = format!("{ACCOUNT}\nnotify_url = \"http://localhost:8000/k\"");
    Config::from_toml(&local).expect("both are on this machine");
}

#[test]
fn the_same_api_key_twice_in_an_account_is_refused() {
    let hash = format!("sha256:{}", "0".repeat(64));
    let text = problems(&format!(
        "{ACCOUNT}\napi_keys = [{{ hash = {hash:?}, allow = [\"payments\"] }}, {hash:?}]"
    ));
    assert_eq!(
        text,
        "accounts[0].api_keys[1] has the hash of an earlier entry; remove one of the two"
    );
}

#[test]
fn an_api_key_may_expire_and_be_limited() {
    let hash = format!("sha256:{}", "0".repeat(64));
    let config = Config::from_toml(&format!(
        "{ACCOUNT}\napi_keys = [{{ hash = \"{hash}\", expires_at = \"2027-01-31T00:00:00Z\", allow = [\"refunds\"] }}]"
    ));
    let config = config.expect("valid");
    let account = config.accounts.iter().next().expect("an account");
    let key = &account.api_keys[0];
    assert_eq!(key.allow, [Permission::Refunds]);
    let expires_at = key.expires_at.expect("a time").to_string();
    assert_eq!(expires_at, "2027-01-31T00:00:00.000Z");
}

#[test]
fn an_events_url_needs_a_secret_and_is_checked_like_a_notify_url() {
    let account = |events_url: &str, more: &str| {
        Config::from_toml(&format!("{ACCOUNT}\nevents_url = {events_url:?}\n{more}"))
    };
    let secret = format!(
        "webhook_secrets = [\"whsec_{}\"]",
        "bm90LWEtcmVhbC1zZWNyZXQtMDEyMzQ1Njc4OQ=="
    );
    account("https://shop.example/events", &secret).expect("valid");
    for (events_url, more, expected) in [
        (
            "https://shop.example/events",
            "",
            "accounts[0].webhook_secrets is empty",
        ),
        (
            "http://shop.example/events",
            &*secret,
            "accounts[0].events_url must be https",
        ),
        (
            "shop.example",
            &*secret,
            "accounts[0].events_url must be an http",
        ),
    ] {
        let text = account(events_url, more).expect_err(events_url).to_string();
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn each_api_key_entry_reports_its_own_problems_with_the_nearest_field() {
    let text = problems(&format!(
        r#"{ACCOUNT}
        api_keys = [
            {{ hsah = "sha256:12", expires_at = 7, allow = "payments" }},
            5,
            {{ hash = 7, allow = ["payments", 1, "everything"] }},
            "chq_x",
        ]
        return_hop = "yes"
        [limits]
        watchrs = 5
        "#
    ));
    let lines: BTreeSet<&str> = text.lines().collect();
    let expected = [
        "accounts[0].api_keys[0].hsah is not a known key; did you mean accounts[0].api_keys[0].hash?",
        "accounts[0].api_keys[0].hash is missing; it is what `chasqui keys new` prints with the key",
        "accounts[0].api_keys[0].expires_at must be a time such as 2027-01-31T00:00:00Z",
        "accounts[0].api_keys[0].allow must be a list in brackets",
        "accounts[0].api_keys[1] must be a hash in quotes, or { hash = \"sha256:…\", expires_at = \"…\", allow = [\"payments\", …] }",
        "accounts[0].api_keys[2].hash must be a text in quotes",
        "accounts[0].api_keys[2].allow[1] must be payments, refunds or other",
        "accounts[0].api_keys[2].allow[2] must be payments, refunds or other",
        "accounts[0].api_keys[3] is the key itself; use its hash, which `chasqui keys new` prints with it",
        "accounts[0].return_hop must be true or false, without quotes",
        "limits.watchrs is not a known key; did you mean limits.watchers?",
    ];
    assert_eq!(lines, expected.into_iter().collect());
}
