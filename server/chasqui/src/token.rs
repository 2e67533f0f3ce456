//! Status tokens: each lets a browser watch one payment, and nothing else.
//!
//! A JWT, HS256: `sub` the payment, `aud` `chasqui:status`, `acc` the account, `exp`. The first signing key signs, all
//! verify, so that keys can be replaced while older tokens stay valid.

use std::time::Duration;

use chasqui_payment::{AccountName, PaymentId, Secret, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

const AUDIENCE: &str = "chasqui:status";

/// A token is about 250 bytes; much longer ones are refused unread.
const MAX_TOKEN_LENGTH: usize = 1024;

pub struct StatusTokens {
    signing: EncodingKey,
    verifying: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusToken {
    pub text: String,
    pub expires_at: Timestamp,
}

/// The payment that a valid token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSubject {
    pub payment_id: PaymentId,
    pub account: AccountName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the status token has expired; ask the shop for a new one")]
    Expired,
    #[error("the status token is not valid")]
    Invalid,
}

#[derive(Serialize, Deserialize)]
struct TokenClaims {
    sub: String,
    aud: String,
    acc: String,
    exp: i64,
}

impl std::fmt::Debug for StatusTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusTokens")
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl StatusTokens {
    /// # Panics
    ///
    /// Without a key.
    #[expect(clippy::expect_used, reason = "an installation always has a key")]
    pub fn new(keys: &[Secret], ttl: Duration) -> Self {
        let first = keys.first().expect("at least one signing key");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        Self {
            signing: EncodingKey::from_secret(first.expose().as_bytes()),
            verifying: keys
                .iter()
                .map(|key| DecodingKey::from_secret(key.expose().as_bytes()))
                .collect(),
            validation,
            ttl,
        }
    }

    pub fn mint(
        &self,
        payment_id: &PaymentId,
        account: &AccountName,
        now: Timestamp,
    ) -> StatusToken {
        let expires_at = now.plus(self.ttl);
        let claims = TokenClaims {
            sub: payment_id.to_string(),
            aud: AUDIENCE.to_owned(),
            acc: account.to_string(),
            exp: expires_at.unix_seconds(),
        };
        #[expect(clippy::expect_used, reason = "nothing here can fail")]
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("text is signed with a key in memory");
        StatusToken { text, expires_at }
    }

    pub fn verify(&self, text: &str) -> Result<TokenSubject, TokenError> {
        if text.len() > MAX_TOKEN_LENGTH {
            return Err(TokenError::Invalid);
        }
        let mut error = TokenError::Invalid;
        for key in &self.verifying {
            match jsonwebtoken::decode::<TokenClaims>(text, key, &self.validation) {
                Ok(data) => {
                    return Ok(TokenSubject {
                        payment_id: PaymentId::parse(&data.claims.sub)
                            .map_err(|_| TokenError::Invalid)?,
                        account: AccountName::parse(&data.claims.acc)
                            .map_err(|_| TokenError::Invalid)?,
                    });
                }
                Err(failure)
                    if *failure.kind() == jsonwebtoken::errors::ErrorKind::ExpiredSignature =>
                {
                    error = TokenError::Expired;
                }
                Err(_) => {}
            }
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(letter: &str) -> Secret {
        Secret::new(letter.repeat(32))
    }

    fn tokens(keys: &[Secret]) -> StatusTokens {
        StatusTokens::new(keys, Duration::from_secs(3600))
    }

    fn subject() -> TokenSubject {
        TokenSubject {
            payment_id: PaymentId::parse("zfxnocsow6mz").expect("id"),
            account: AccountName::parse("shop").expect("name"),
        }
    }

    fn mint(tokens: &StatusTokens, now: Timestamp) -> String {
        let TokenSubject {
            payment_id,
            account,
        } = subject();
        tokens.mint(&payment_id, &account, now).text
    }

    #[test]
    fn a_token_names_its_payment_and_account() {
        let tokens = tokens(&[key("a")]);
        assert_eq!(
            tokens.verify(&mint(&tokens, chasqui_core::clock::now())),
            Ok(subject())
        );
    }

    #[test]
    fn a_replaced_key_still_verifies_and_a_foreign_one_does_not() {
        let (old, new) = (tokens(&[key("a")]), tokens(&[key("b"), key("a")]));
        let now = chasqui_core::clock::now();
        assert!(new.verify(&mint(&old, now)).is_ok());
        assert!(new.verify(&mint(&new, now)).is_ok());
        assert_eq!(old.verify(&mint(&new, now)), Err(TokenError::Invalid));
    }

    #[test]
    fn an_expired_token_is_reported_as_expired() {
        let tokens = tokens(&[key("b"), key("a")]);
        let long_ago = chasqui_core::clock::now().minus(Duration::from_secs(3600 + 120));
        assert_eq!(
            tokens.verify(&mint(&tokens, long_ago)),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn another_audience_or_algorithm_is_not_accepted() {
        let tokens = tokens(&[key("a")]);
        let claims = |aud: &str| TokenClaims {
            sub: "zfxnocsow6mz".into(),
            aud: aud.into(),
            acc: "shop".into(),
            exp: chasqui_core::clock::now().unix_seconds() + 60,
        };
        let signed = |algorithm, aud| {
            let key = EncodingKey::from_secret(key("a").expose().as_bytes());
            jsonwebtoken::encode(&Header::new(algorithm), &claims(aud), &key).expect("signed")
        };
        assert!(tokens.verify(&signed(Algorithm::HS256, AUDIENCE)).is_ok());
        assert!(
            tokens
                .verify(&signed(Algorithm::HS256, "elsewhere"))
                .is_err()
        );
        assert!(tokens.verify(&signed(Algorithm::HS512, AUDIENCE)).is_err());
        // {"alg":"none"} and the same claims.
        let none = format!(
            "eyJhbGciOiJub25lIn0.{}.",
            signed(Algorithm::HS256, AUDIENCE)
                .split('.')
                .nth(1)
                .expect("claims")
        );
        assert!(tokens.verify(&none).is_err());
        assert!(tokens.verify(&"a".repeat(MAX_TOKEN_LENGTH + 1)).is_err());
    }
}
