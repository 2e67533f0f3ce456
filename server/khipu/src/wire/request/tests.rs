use super::*;

fn request(json: &str) -> Result<CreateRequest, Vec<FieldError>> {
    let fields = JsonObject::parse(json.as_bytes()).expect("object");
    CreateRequest::parse(fields, |_| None)
}

#[test]
fn a_request_keeps_every_field_but_the_replaced_urls() {
    let json = r#"{"amount":1000.10,"currency":"CLP","subject":"x","return_url":"https://shop.example/r","future":{"a":[1]},"notify_api_version":"3.0"}"#;
    let request = request(json).expect("valid");
    assert_eq!(
        request.urls.return_url.as_deref(),
        Some("https://shop.example/r")
    );
    let return_urls = ReturnUrls {
        return_url: "https://pay/r".into(),
        cancel_url: "https://pay/r/cancel".into(),
    };
    let sent =
        String::from_utf8(request.for_khipu("https://pay/n", Some(&return_urls))).expect("text");
    assert_eq!(
        sent,
        r#"{"amount":1000.10,"currency":"CLP","subject":"x","return_url":"https://pay/r","future":{"a":[1]},"notify_api_version":"3.0","notify_url":"https://pay/n","cancel_url":"https://pay/r/cancel"}"#
    );
}

#[test]
fn without_return_urls_the_merchants_own_stays() {
    let request = request(
        r#"{"amount":"1000","currency":"CLP","subject":"x","return_url":"https://shop.example/r"}"#,
    )
    .expect("valid");
    let sent = String::from_utf8(request.for_khipu("https://pay/n", None)).expect("text");
    assert!(
        sent.contains(r#""return_url":"https://shop.example/r""#),
        "{sent}"
    );
    assert!(!sent.contains("cancel_url"), "{sent}");
}

#[test]
fn a_notify_url_that_a_delivery_may_not_go_to_is_refused() {
    let json =
        r#"{"amount":1,"currency":"CLP","subject":"x","notify_url":"http://shop.example/k"}"#;
    let fields = JsonObject::parse(json.as_bytes()).expect("object");
    let errors = CreateRequest::parse(fields, |url| (url.scheme() == "http").then_some("https"));
    let errors = errors.expect_err("refused");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].field, "notify_url");
    assert!(errors[0].message.contains("https"), "{errors:?}");
}

#[test]
fn a_form_that_is_not_known_here_passes_to_khipu_without_terms() {
    for json in [
        "{}",
        r#"{"amount":"1.000,50","currency":"CLP"}"#,
        r#"{"amount":1,"currency":"pesos"}"#,
        r#"{"amount":1.23456,"currency":"CLF"}"#,
    ] {
        let request = request(json).expect("valid");
        assert_eq!(request.terms, None, "{json}");
    }
    let late = request(r#"{"amount":1,"currency":"CLP","expires_date":"tomorrow"}"#);
    let late = late.expect("valid");
    assert!(late.terms.is_some());
    assert_eq!(late.expires_at, None);
}

#[test]
fn beside_a_refused_field_everything_that_is_missing_is_reported() {
    let fields = |more: &str| -> Vec<_> {
        let json = format!(r#"{{"notify_api_version":"1.3",{more}}}"#);
        let errors = request(&json).expect_err("refused");
        errors.iter().skip(1).map(|error| error.field).collect()
    };
    let missing = ["amount", "currency", "subject"];
    assert_eq!(fields(r#""amount":null,"subject":"""#), missing);
    let ordered = r#""amount":1,"currency":"CLP","subject":"x""#;
    assert_eq!(fields(ordered), [""; 0]);
    assert_eq!(
        fields(&format!(r#"{ordered},"send_email":true"#)),
        ["payer_name", "payer_email"]
    );
    assert_eq!(
        fields(&format!(
            r#"{ordered},"contract_url":"https://shop.example/c.pdf""#
        )),
        ["fixed_payer_personal_identifier"]
    );
}

#[test]
fn every_invalid_url_is_refused() {
    let urls = |url: &str| {
        format!(
            r#"{{"amount":1,"currency":"CLP","subject":"x","return_url":{url},"cancel_url":{url},"notify_url":{url}}}"#
        )
    };
    let long = |length: usize| {
        let start = "\"https://shop.example/";
        format!("{start}{}\"", "ñ".repeat(length + 1 - start.len()))
    };
    for wrong in [
        r#""ftp://shop.example""#,
        r#""javascript:alert(1)""#,
        r#""/thanks""#,
        r#""https://""#,
        "7",
        "{}",
        &long(1025),
    ] {
        let errors = request(&urls(wrong)).expect_err("refused");
        let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            ["return_url", "cancel_url", "notify_url"],
            "{wrong}"
        );
    }
    for none in [r#""""#, "null"] {
        let request = request(&urls(none)).expect("valid");
        assert_eq!(request.urls, MerchantUrls::default());
    }
    for right in [r#""http:\/\/shop.example\/khipu?a=1#b""#, &long(1024)] {
        let request = request(&urls(right)).expect("valid");
        let text: String = serde_json::from_str(right).expect("text");
        assert_eq!(request.urls.notify_url, Some(text));
    }
}

#[test]
fn another_notification_version_is_refused_with_the_reason() {
    let with = |version: &str| {
        request(&format!(
            r#"{{"amount":1,"currency":"CLP","subject":"x","notify_api_version":{version}}}"#
        ))
    };
    for version in [r#""1.3""#, r#""2.0""#, "4", "[1]", r#"{"a":1}"#, "true"] {
        let errors = with(version).expect_err("refused");
        assert_eq!(errors[0].field, "notify_api_version");
        assert!(errors[0].message.contains("3.0"), "{errors:?}");
    }
    for version in [r#""3.0""#, "3.0", r#""""#, "null"] {
        with(version).expect("valid");
    }
}
