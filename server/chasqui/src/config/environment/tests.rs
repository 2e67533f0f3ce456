use crate::config::tests::{ACCOUNT, with_environment};
use std::collections::BTreeSet;

#[test]
fn the_environment_wins_over_the_file() {
    let config = with_environment(
        ACCOUNT,
        &[
            ("CHASQUI_SERVER__LISTEN", "127.0.0.1:9000"),
            ("CHASQUI_LIMITS__WATCHERS", "500"),
            ("CHASQUI_ACCOUNTS__0__RECEIVER_ID", "7"),
            (
                "CHASQUI_ACCOUNTS__0__ALLOWED_ORIGINS",
                r#"["https://shop.example"]"#,
            ),
            ("CHASQUI_ACCOUNTS__1__NAME", "second"),
            ("CHASQUI_ACCOUNTS__1__RECEIVER_ID", "8"),
            ("CHASQUI_ACCOUNTS__1__KHIPU_API_KEY", "not-a-real-key"),
            ("CHASQUI_ACCOUNTS__1__KHIPU_SECRETS__0", "not-a-real-secret"),
            ("CHASQUI_UNRELATED", "ignored: it names no section"),
        ],
    )
    .expect("valid");
    assert_eq!(config.server.listen.port(), 9000);
    assert_eq!(config.limits.watchers, 500);
    let shop = chasqui_payment::AccountName::parse("shop").expect("name");
    let shop = config.accounts.by_name(&shop).expect("account");
    assert_eq!(
        (shop.receiver_id, shop.allowed_origins.as_slice()),
        (7, &["https://shop.example".to_owned()][..])
    );
    assert_eq!(config.accounts.iter().count(), 2);
}

#[test]
fn a_misspelt_variable_is_reported() {
    let error =
        with_environment(ACCOUNT, &[("CHASQUI_SERVER__LISTENN", "x")]).expect_err("unknown");
    assert!(error.to_string().contains("server.listenn"), "{error}");
    let error = with_environment(ACCOUNT, &[("CHASQUI_ACCOUNTS__5__NAME", "x")]).expect_err("gap");
    assert!(
        error.to_string().contains("accounts.5.name skips an entry"),
        "{error}"
    );
}

#[test]
fn a_misplaced_variable_hides_no_other_problem() {
    let variables = [
        ("CHASQUI_ACCOUNTS__9__NAME", "x"),
        ("CHASQUI_LIMITS____WATCHERS", "5"),
        ("CHASQUI_SERVER__LISTEN", "8080"),
        ("CHASQUI_SERVER__LISTENN", "x"),
        ("CHASQUI_SERVER__DRAIN_WINDOW__SECONDS", "5"),
    ];
    let file = format!("{ACCOUNT}\n[server]\ndrain_window = \"5s\"\n[limits]\nwatchrs = 1\n");
    let text = with_environment(&file, &variables)
        .expect_err("refused")
        .to_string();
    let lines: BTreeSet<&str> = text.lines().collect();
    let expected = [
        "accounts.9.name skips an entry: the list has 1 so far",
        "limits..watchers has an empty part; put a name between each two double underscores",
        "server.listen must be an address and a port, like 127.0.0.1:8080",
        "server.listenn is not a known key; did you mean server.listen?",
        "server.drain_window.seconds is nested deeper than the key",
        "limits.watchrs is not a known key; did you mean limits.watchers?",
    ];
    assert_eq!(lines, expected.into_iter().collect());
}

#[test]
fn text_from_the_environment_is_taken_as_it_is() {
    for text in [
        "0x1F",
        "1_000",
        "+5",
        "5",
        "1.50",
        "true",
        "2026-01-01",
        "[x]",
        "[\"x\"]",
        "{ a = 1 }",
        "\"quoted\"",
    ] {
        let variables = [
            ("CHASQUI_ACCOUNTS__0__KHIPU_API_KEY", text),
            ("CHASQUI_ACCOUNTS__0__KHIPU_SECRETS__0", &format!("{text} ")),
            ("CHASQUI_LOG__FILTER", text),
        ];
        let config = with_environment(ACCOUNT, &variables).expect(text);
        let shop = config.accounts.iter().next().expect("account");
        assert_eq!(shop.khipu_api_key.expose(), text);
        assert_eq!(shop.khipu_secrets[0].expose(), format!("{text} "));
        assert_eq!(config.log.filter, text);
    }
    let variables = [
        ("CHASQUI_ACCOUNTS__0__NAME", "5"),
        ("CHASQUI_ACCOUNTS__0__RETURN_HOP", "false"),
        ("CHASQUI_ACCOUNTS__0__RECEIVER_ID", "990_940"),
        ("CHASQUI_ACCOUNTS__0__KHIPU_SECRETS", "[\"0x1F\"]"),
        ("CHASQUI_ACCOUNTS__0__KHIPU_SECRETS__1", "0x2F"),
        ("CHASQUI_SERVER__DRAIN_WINDOW", "7s"),
    ];
    let config = with_environment(ACCOUNT, &variables).expect("valid");
    let shop = config.accounts.iter().next().expect("account");
    assert_eq!(
        (shop.name.as_str(), shop.return_hop, shop.receiver_id),
        ("5", false, 990_940)
    );
    let secrets: Vec<&str> = shop.khipu_secrets.iter().map(|it| it.expose()).collect();
    assert_eq!(secrets, ["0x1F", "0x2F"]);
    let unquoted = [("CHASQUI_SERVER__DRAIN_WINDOW", "7")];
    let error = with_environment(ACCOUNT, &unquoted).expect_err("without its unit");
    assert!(error.to_string().contains("like \"250ms\""), "{error}");
}
