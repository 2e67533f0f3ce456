use proptest::prelude::*;

use super::*;

const SECRET: &str = "1a4cbbbeb8bdb7e1d73572b9cc43ce4ce18f79d9";
const T: i64 = 1_711_965_600_393;
const V1_HEADER: &str = "t=1711965600393,s=GYzpjnXlTKQ+BJY7pZJmrM6DZgWMSJdtOr/dleBKTdg=";
const V2_HEADER: &str = "t=1711965600393,s=rq08YUGSaWa1D0RAwhMnJTRHMNmY4ToCn2Gd6G9LaDg=";
const V1: &str = r##"{"payment_id":"zfxnocsow6mz","receiver_id":990939,"subject":"TEST_COBRO","amount":"1000.0000","discount":"0.0000","currency":"CLP","receipt_url":"https:\/\/s3.amazonaws.com\/staging.notifications.khipu.com\/CPKH-1804240956-zfxnocsow6mz.pdf","bank":"DemoBank","bank_id":"Bawdf","payer_name":"Cobrador de desarrollo #990.939","payer_email":"test@khipu.com","personal_identifier":"44.444.444-4","bank_account_number":"000000000000444444444","out_of_date_conciliation":false,"transaction_id":"15f836bd-e8a7-4d12-b2f1-56403012b555","responsible_user_email":"test@khipu.com","payment_method":"simplified_transfer","conciliation_date":"2024-04-18T13:56:54.859Z"}"##;

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::new(*text)).collect()
}

fn error(header: &str) -> SignatureError {
    verify(Some(header), V1.as_bytes(), &secrets(&[SECRET])).expect_err("must be refused")
}

fn v2() -> String {
    V1.replace(
        r#""responsible_user_email""#,
        r#""authorizer_operation_code":"AUT-20240418-0001","responsible_user_email""#,
    )
}

#[test]
fn golden_vector_1_verifies_and_is_what_we_sign() {
    let secrets = secrets(&[SECRET]);
    let verified = verify(Some(V1_HEADER), V1.as_bytes(), &secrets).expect("golden");
    assert_eq!(verified.t.unix_ms(), T);
    assert_eq!(
        sign_notification(&secrets[0], Timestamp::from_unix_ms(T), V1.as_bytes()),
        V1_HEADER
    );
}

#[test]
fn golden_vector_2_verifies_and_is_what_we_sign() {
    let secrets = secrets(&[SECRET]);
    assert!(verify(Some(V2_HEADER), v2().as_bytes(), &secrets).is_ok());
    assert_eq!(
        sign_notification(&secrets[0], Timestamp::from_unix_ms(T), v2().as_bytes()),
        V2_HEADER
    );
}

/// The compiler's part of this is in the documentation of [`VerifiedBody`].
#[test]
fn mistake_ignoring_the_result_the_body_comes_only_from_verifying() {
    let secrets = secrets(&[SECRET]);
    let body = verify(Some(V1_HEADER), V1.as_bytes(), &secrets).map(|verified| verified.body());
    assert_eq!(body, Ok(V1.as_bytes()));
    let body = verify(Some(V2_HEADER), V1.as_bytes(), &secrets).map(|verified| verified.body());
    assert_eq!(body, Err(SignatureError::Mismatch));
}

#[test]
fn mistake_splitting_on_every_equals_sign_the_padding_is_kept() {
    let unpadded = V1_HEADER.trim_end_matches('=');
    assert!(verify(Some(unpadded), V1.as_bytes(), &secrets(&[SECRET])).is_ok());
    assert_eq!(error("t=1,s=a=b=c="), SignatureError::NotBase64);
}

#[test]
fn mistake_hex_instead_of_base64_is_named() {
    let hex = STANDARD
        .decode(&V1_HEADER["t=1711965600393,s=".len()..])
        .expect("golden")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let refused = error(&format!("t={T},s={hex}"));
    assert_eq!(refused, SignatureError::Hex);
    assert!(
        refused
            .to_string()
            .contains("looks like hex: khipu's signature is base64")
    );
}

#[test]
fn mistake_api_key_as_secret_does_not_verify_and_is_suggested() {
    let api_key = secrets(&["8f2b5c1e-0000-4000-8000-6f1d7c9a3e55"]);
    let refused = verify(Some(V1_HEADER), V1.as_bytes(), &api_key).expect_err("wrong key");
    assert!(refused.to_string().contains("not its API key"));
}

#[test]
fn mistake_t_in_seconds_is_far_off() {
    let now = Timestamp::from_unix_ms(T);
    let tolerance = Duration::from_secs(600);
    assert!(is_within_tolerance(now, now, tolerance));
    assert!(!is_within_tolerance(
        Timestamp::from_unix_ms(T / 1000),
        now,
        tolerance
    ));
}

#[test]
fn mistake_reserialised_body_does_not_verify() {
    let value: serde_json::Value = serde_json::from_str(V1).expect("json");
    let again = value.to_string();
    let refused = verify(Some(V1_HEADER), again.as_bytes(), &secrets(&[SECRET]));
    assert_eq!(refused, Err(SignatureError::Mismatch));
    // Only the escapes, everything else in its place.
    let unescaped = V1.replace(r"\/", "/");
    let refused = verify(Some(V1_HEADER), unescaped.as_bytes(), &secrets(&[SECRET]));
    assert_eq!(refused, Err(SignatureError::Mismatch));
}

#[test]
fn tolerance_counts_both_ways_and_includes_its_end() {
    let now = Timestamp::from_unix_ms(T);
    let tolerance = Duration::from_millis(10);
    for (offset, within) in [
        (-11, false),
        (-10, true),
        (0, true),
        (10, true),
        (11, false),
    ] {
        let t = Timestamp::from_unix_ms(T + offset);
        assert_eq!(is_within_tolerance(t, now, tolerance), within, "{offset}");
    }
    assert!(!is_within_tolerance(
        Timestamp::from_unix_ms(i64::MIN),
        Timestamp::from_unix_ms(i64::MAX),
        tolerance
    ));
}

#[test]
fn any_of_several_secrets_matches_while_one_is_replaced() {
    let body = V1.as_bytes();
    assert!(verify(Some(V1_HEADER), body, &secrets(&["new", SECRET])).is_ok());
    assert!(verify(Some(V1_HEADER), body, &secrets(&[SECRET, "new"])).is_ok());
    assert!(verify(Some(V1_HEADER), body, &secrets(&["new", "newer"])).is_err());
}

#[test]
fn no_secret_and_an_empty_secret_never_verify() {
    let body = V1.as_bytes();
    assert!(verify(Some(V1_HEADER), body, &[]).is_err());
    let signed_with_nothing = sign_notification(&Secret::new(""), Timestamp::from_unix_ms(T), body);
    assert!(verify(Some(&signed_with_nothing), body, &secrets(&[""])).is_err());
}

#[test]
fn order_spaces_and_unknown_parts_do_not_matter() {
    let s = &V1_HEADER["t=1711965600393,".len()..];
    for header in [
        format!("{s},t={T}"),
        format!(" t = {T} , {s} "),
        format!("v=2,t={T},flag,{s},x=y=z"),
    ] {
        let verified = verify(Some(&header), V1.as_bytes(), &secrets(&[SECRET]));
        assert!(verified.is_ok(), "{header}");
    }
}

#[test]
fn a_missing_or_malformed_part_is_named() {
    assert_eq!(
        verify(None, V1.as_bytes(), &[]),
        Err(SignatureError::Missing)
    );
    for (header, expected) in [
        ("", SignatureError::NoTime),
        ("s=GYzp", SignatureError::NoTime),
        ("t=yesterday,s=GYzp", SignatureError::TimeNotANumber),
        ("t=,s=GYzp", SignatureError::TimeNotANumber),
        ("t=1", SignatureError::NoSignature),
        ("t=1,s=", SignatureError::NotBase64),
        ("t=1,s=!!", SignatureError::NotBase64),
        ("t=1,s=GYzp", SignatureError::NotBase64),
    ] {
        assert_eq!(error(header), expected, "{header:?}");
    }
}

proptest! {
    #[test]
    fn a_signed_body_verifies_and_one_changed_byte_does_not(
        secret in ".{1,40}", t in any::<i64>(), body in prop::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>()
    ) {
        let secrets = [Secret::new(secret)];
        let header = sign_notification(&secrets[0], Timestamp::from_unix_ms(t), &body);
        prop_assert_eq!(verify(Some(&header), &body, &secrets).map(|v| v.t.unix_ms()), Ok(t));
        prop_assert_eq!(claimed_time(&header).map(Timestamp::unix_ms), Ok(t));
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1;
        prop_assert_eq!(verify(Some(&header), &changed, &secrets), Err(SignatureError::Mismatch));
        let later = header.replacen("t=", "t=1", 1);
        prop_assert!(verify(Some(&later), &body, &secrets).is_err());
    }

    #[test]
    fn reading_a_header_never_panics(header in ".{0,80}") {
        let _ = claimed_time(&header);
    }
}
