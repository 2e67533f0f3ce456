//! A JSON object whose top-level fields keep their bytes and their order. Numbers are never read as floats.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// The most top-level fields. Khipu's largest object has about forty, and a look-up is a linear search.
const MAX_FIELDS: usize = 512;

/// Top-level fields in their order. Of a repeated name the last value counts.
#[derive(Debug, Clone, Default)]
pub struct JsonObject(Vec<(String, Box<RawValue>)>);

#[derive(Debug, thiserror::Error)]
#[error("not a JSON object: {0}")]
pub struct InvalidJsonObject(serde_json::Error);

impl InvalidJsonObject {
    /// In the language of Khipu's errors, for the merchant.
    pub fn message(&self) -> String {
        let Self(error) = self;
        match error.classify() {
            Category::Data => {
                format!("el cuerpo debe ser un objeto JSON de a lo más {MAX_FIELDS} campos")
            }
            Category::Eof | Category::Io | Category::Syntax => {
                let (line, column) = (error.line(), error.column());
                format!("el cuerpo no es JSON válido: línea {line}, columna {column}")
            }
        }
    }
}

impl JsonObject {
    pub fn parse(json: &[u8]) -> Result<Self, InvalidJsonObject> {
        serde_json::from_slice(json).map_err(InvalidJsonObject)
    }

    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_ref())
    }

    /// The field as text: a string's content, a number or boolean as written. `None` if it is absent, null, "" or nested:
    /// Khipu writes unset text as "".
    pub fn text(&self, name: &str) -> Option<String> {
        let raw = self.get(name)?.get();
        let text = match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok()?,
            b'{' | b'[' | b'n' => return None,
            _ => raw.to_owned(),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// The field as text, parsed. `None` if it is absent or cannot be parsed.
    pub(crate) fn parsed<T, E>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        parse(&self.text(name)?).ok()
    }

    /// Sets a field in its place, or at the end.
    #[expect(clippy::expect_used, reason = "text always serialises")]
    pub fn set(&mut self, name: &str, text: &str) {
        let raw = serde_json::value::to_raw_value(text).expect("text serialises");
        self.set_raw(name, raw);
    }

    pub(crate) fn set_raw(&mut self, name: &str, raw: Box<RawValue>) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, value)) => *value = raw,
            None => self.0.push((name.to_owned(), raw)),
        }
    }

    #[expect(clippy::expect_used, reason = "text and raw JSON always serialise")]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and raw JSON serialise")
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut fields = JsonObject::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.0.len() == MAX_FIELDS {
                        return Err(de::Error::custom(format!(
                            "it has more than {MAX_FIELDS} fields"
                        )));
                    }
                    fields.set_raw(&name, value);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_fields_keep_their_bytes() {
        let json = br#"{"amount":1000.10,"big":123456789012345678901234567890,"x":{"b":1,"a":[ 1 ]},"u":"\/\u00e1"}"#;
        assert_eq!(JsonObject::parse(json).expect("object").to_json(), json);
    }

    #[test]
    fn text_is_a_string_number_or_boolean_and_empty_is_absent() {
        let fields = JsonObject::parse(br#"{"a":"x","n":1000.0,"e":"","z":null,"o":{},"t":true}"#)
            .expect("object");
        assert_eq!(fields.text("a").as_deref(), Some("x"));
        assert_eq!(fields.text("n").as_deref(), Some("1000.0"));
        assert_eq!(fields.text("t").as_deref(), Some("true"));
        for absent in ["e", "z", "o", "missing"] {
            assert_eq!(fields.text(absent), None, "{absent}");
        }
    }

    #[test]
    fn a_field_that_is_set_keeps_its_place() {
        let mut fields = JsonObject::parse(br#"{"a":1,"b":2}"#).expect("object");
        fields.set("a", "é");
        fields.set("c", "3");
        assert_eq!(
            fields.to_json(),
            "{\"a\":\"é\",\"b\":2,\"c\":\"3\"}".as_bytes()
        );
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place_and_without_serdes_text() {
        let message = |json: &str| {
            let error = JsonObject::parse(json.as_bytes()).expect_err(json);
            error.message()
        };
        for (json, place) in [
            ("{\"amount\": 1000,\n \"subject\": }", "línea 2, columna 13"),
            ("{\"amount\": ", "línea 1, columna 11"),
            ("", "línea 1, columna 0"),
            ("amount=1000", "línea 1, columna 1"),
            ("{} {}", "línea 1, columna 4"),
        ] {
            let expected = format!("el cuerpo no es JSON válido: {place}");
            assert_eq!(message(json), expected, "{json:?}");
        }
        let many: Vec<_> = (0..=MAX_FIELDS).map(|i| format!("\"f{i}\":1")).collect();
        for json in ["[]", "7", &format!("{{{}}}", many.join(","))] {
            let expected = "el cuerpo debe ser un objeto JSON de a lo más 512 campos";
            assert_eq!(message(json), expected);
        }
    }

    #[test]
    fn an_object_of_too_many_fields_is_refused() {
        let json = |count: usize| {
            let fields: Vec<_> = (0..count).map(|i| format!("\"f{i}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert!(JsonObject::parse(json(MAX_FIELDS).as_bytes()).is_ok());
        assert!(JsonObject::parse(json(MAX_FIELDS + 1).as_bytes()).is_err());
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        for bad in [
            &b"[]"[..],
            b"1",
            b"",
            b"{\"a\":1}x",
            b"{\"a\":}",
            b"notification_token=x&api_version=1.3",
        ] {
            assert!(
                JsonObject::parse(bad).is_err(),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
    }
}
