//! Money as decimals, never floats, and the comparison of two amounts.

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

/// The most decimals that Khipu's API describes.
const MAX_DECIMALS: u32 = 4;

/// A non-negative decimal with up to four decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(Decimal);

/// An ISO 4217 code, upper case. Unknown codes are accepted: Khipu may add currencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

#[derive(Debug, thiserror::Error)]
#[error(
    "not an amount: a number without thousands separators, with at most 4 decimals after a point"
)]
pub struct InvalidAmount;

#[derive(Debug, thiserror::Error)]
#[error("not a currency: three letters of ISO 4217, like CLP")]
pub struct InvalidCurrency;

impl Amount {
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// From a JSON number as written or the content of a JSON string: `1000`, `1000.0000`, `11900.5`.
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        // A scientific form is a JSON number too; a leading plus or an underscore is not.
        if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains('_') {
            return Err(InvalidAmount);
        }
        let parse = match text.contains(['e', 'E']) {
            true => Decimal::from_scientific,
            false => Decimal::from_str_exact,
        };
        let decimal = parse(text).map_err(|_| InvalidAmount)?.normalize();
        let fits = decimal.scale() <= MAX_DECIMALS;
        fits.then_some(Self(decimal)).ok_or(InvalidAmount)
    }

    /// `None` below zero.
    pub fn minus(self, other: Self) -> Option<Self> {
        let difference = self.0.checked_sub(other.0)?;
        (!difference.is_sign_negative() || difference.is_zero())
            .then_some(Self(difference.normalize()))
    }

    /// Whether both are equal at the precision in which the currency is settled. CLP has no cents: Khipu collects 11900.5 as
    /// 11901.
    pub fn agrees_with(self, other: Self, currency: Currency) -> bool {
        self.settled(currency) == other.settled(currency)
    }

    /// Whether the currency is settled with fewer decimals than this amount has.
    pub fn is_settled_rounded(self, currency: Currency) -> bool {
        self.settled(currency) != self.0
    }

    fn settled(self, currency: Currency) -> Decimal {
        let strategy = RoundingStrategy::MidpointAwayFromZero;
        self.0.round_dp_with_strategy(currency.decimals(), strategy)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Currency {
    pub fn parse(text: &str) -> Result<Self, InvalidCurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_alphabetic) => {
                Ok(Self(code.map(|b| b.to_ascii_uppercase())))
            }
            _ => Err(InvalidCurrency),
        }
    }

    #[expect(clippy::expect_used, reason = "parsed as ASCII letters")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII letters")
    }

    /// The decimals at which two amounts are compared.
    fn decimals(self) -> u32 {
        match &self.0 {
            b"CLP" => 0,
            b"CLF" => 4,
            _ => 2,
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agree(a: &str, b: &str, currency: &str) -> bool {
        Amount::parse(a).expect("amount").agrees_with(
            Amount::parse(b).expect("amount"),
            Currency::parse(currency).expect("currency"),
        )
    }

    #[test]
    fn pesos_are_compared_whole_and_half_up() {
        assert!(agree("1000", "1000.0000", "CLP"));
        assert!(agree("11900.5", "11901", "CLP"));
        assert!(agree("11900.4999", "11900", "CLP"));
        assert!(!agree("11900.4", "11901", "CLP"));
    }

    #[test]
    fn unidades_de_fomento_keep_four_decimals_and_others_two() {
        assert!(!agree("1.0001", "1.0002", "CLF"));
        assert!(agree("10.004", "10.00", "USD"));
        assert!(agree("10.005", "10.01", "USD"));
        assert!(!agree("10.01", "10.02", "PEN"));
    }

    #[test]
    fn text_that_is_not_an_amount_is_refused() {
        for bad in [
            "", "-1", "+1", "1,000", "1.00001", "1e-9", "abc", "1_000", " 1", "NaN", "0x10",
        ] {
            assert!(Amount::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn trailing_zeros_and_scientific_form_are_the_same_number() {
        assert!(agree("1000.000000", "1e3", "CLP"));
    }

    proptest! {
        #[test]
        fn an_amount_agrees_with_its_own_text(units in 0u64..10_000_000_000, fraction in 0u32..10_000) {
            let text = format!("{units}.{fraction:04}");
            let amount = Amount::parse(&text).expect("amount");
            for currency in ["CLP", "CLF", "USD"] {
                let currency = Currency::parse(currency).expect("currency");
                prop_assert!(amount.agrees_with(Amount::parse(&amount.to_string()).expect("own text"), currency));
            }
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = Amount::parse(&text);
            let _ = Currency::parse(&text);
        }
    }
}
