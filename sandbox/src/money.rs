//! Amounts as Khipu writes them: decimals of at most four places, sent as JSON strings with all four.
//! Never floating point, except for what a client itself sent as a JSON number.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// The currencies that Khipu lists for `POST /v3/payments`.
pub(crate) const CURRENCIES: [&str; 9] = [
    "CLP", "CLF", "ARS", "PEN", "MXN", "USD", "EUR", "BOB", "COP",
];

/// Khipu accepts at most this many decimal places, and always writes all of them.
const PLACES: u32 = 4;

/// Above this an amount is refused: far beyond any transfer, far below where [`Decimal`] loses places.
const LARGEST: i64 = 1_000_000_000_000;

/// An amount of zero or more; its currency is stored separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(Decimal);

impl Amount {
    pub(crate) const ZERO: Self = Self(Decimal::ZERO);

    /// Reads a JSON number or string. The error is the Spanish text for the field.
    pub(crate) fn read(value: &Value) -> Result<Self, &'static str> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text),
            _ => Err("debe ser un número"),
        }
    }

    /// Reads plain decimal notation with `.` for the decimals and no thousands separator.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let number = text
            .parse::<Decimal>()
            .or_else(|_| Decimal::from_scientific(text))
            .map_err(|_| "debe ser un número")?
            .normalize();
        if number <= Decimal::ZERO {
            Err("debe ser mayor que cero")
        } else if number.scale() > PLACES {
            Err("no puede tener más de 4 decimales")
        } else if number > Decimal::from(LARGEST) {
            Err("excede el monto máximo")
        } else {
            Ok(Self(number))
        }
    }

    pub(crate) fn whole(units: i64) -> Self {
        Self(Decimal::from(units))
    }

    /// A peso has no cents: Khipu takes 11900.5 CLP, then charges and notifies 11901.
    pub(crate) fn charged_in(self, currency: &str) -> Self {
        if currency == "CLP" {
            Self(
                self.0
                    .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero),
            )
        } else {
            self
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// What remains after taking `other`; zero when there is not enough.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self((self.0 - other.0).max(Decimal::ZERO))
    }

    /// `1000.0000`
    pub(crate) fn wire(self) -> String {
        format!("{:.4}", self.0)
    }

    /// As a payer in Chile reads it: `$ 24.990` for pesos, `USD 1.234,50` for the rest.
    pub(crate) fn for_people(self, currency: &str) -> String {
        let places = match currency {
            "CLP" => 0,
            "CLF" => 4,
            _ => 2,
        };
        let plain = format!("{:.places$}", self.0);
        let (units, cents) = plain.split_once('.').unwrap_or((&plain, ""));
        let mut text = match currency {
            "CLP" => "$ ".to_owned(),
            "CLF" => "UF ".to_owned(),
            other => format!("{other} "),
        };
        for (at, digit) in units.chars().enumerate() {
            if at > 0 && (units.len() - at).is_multiple_of(3) {
                text.push('.');
            }
            text.push(digit);
        }
        if !cents.is_empty() {
            text.push(',');
            text.push_str(cents);
        }
        text
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.wire())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Amount {
        Amount::read(value).expect("an amount")
    }

    #[test]
    fn numbers_and_strings_are_the_same_amount() {
        for value in [json!(1000), json!(1000.0), json!("1000"), json!("1000.00")] {
            assert_eq!(read(&value).wire(), "1000.0000");
        }
        assert_eq!(read(&json!(10.1234)).wire(), "10.1234");
    }

    #[test]
    fn pesos_are_rounded_half_up_and_dollars_are_kept() {
        assert_eq!(read(&json!(11900.5)).charged_in("CLP").wire(), "11901.0000");
        assert_eq!(read(&json!("9.99")).charged_in("USD").wire(), "9.9900");
    }

    #[test]
    fn an_invalid_amount_is_refused() {
        for value in [
            json!(0),
            json!(-5),
            json!("1.00001"),
            json!("1,5"),
            json!(true),
            json!("1e30"),
            json!(""),
        ] {
            assert!(Amount::read(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn chilean_notation_has_points_for_thousands() {
        assert_eq!(read(&json!(24990)).for_people("CLP"), "$ 24.990");
        assert_eq!(read(&json!(990)).for_people("CLP"), "$ 990");
        assert_eq!(read(&json!(1234567)).for_people("CLP"), "$ 1.234.567");
        assert_eq!(read(&json!("1234.5")).for_people("USD"), "USD 1.234,50");
        assert_eq!(read(&json!("0.5")).for_people("CLF"), "UF 0,5000");
    }
}
