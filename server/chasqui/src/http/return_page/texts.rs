//! The texts of the hosted page, in three languages; Chilean Spanish is the default.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use chasqui_payment::StatusKind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Language {
    #[default]
    Spanish,
    English,
    Portuguese,
}

pub(super) struct Texts {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
}

impl Language {
    /// The first supported language of `Accept-Language`, which browsers send in order of preference.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let wanted = headers
            .get(ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        wanted
            .split(',')
            .find_map(
                |language| match language.trim().get(..2)?.to_ascii_lowercase().as_str() {
                    "es" => Some(Self::Spanish),
                    "en" => Some(Self::English),
                    "pt" => Some(Self::Portuguese),
                    _ => None,
                },
            )
            .unwrap_or_default()
    }

    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::Spanish => "es-CL",
            Self::English => "en",
            Self::Portuguese => "pt",
        }
    }

    pub(super) const fn page_title(self) -> &'static str {
        match self {
            Self::Spanish => "Estado de tu pago",
            Self::English => "Your payment",
            Self::Portuguese => "Seu pagamento",
        }
    }

    pub(super) const fn resume(self) -> &'static str {
        match self {
            Self::Spanish => "Continuar con el pago",
            Self::English => "Continue to payment",
            Self::Portuguese => "Continuar o pagamento",
        }
    }

    pub(super) const fn closing(self) -> &'static str {
        match self {
            Self::Spanish => {
                "Puedes cerrar esta página cuando quieras: si tu pago se confirma, la tienda se entera igual."
            }
            Self::English => {
                "You can close this page at any time: if your payment is confirmed, the shop is told all the same."
            }
            Self::Portuguese => {
                "Você pode fechar esta página quando quiser: se o pagamento for confirmado, a loja será avisada."
            }
        }
    }

    pub(super) const fn reloading(self) -> &'static str {
        match self {
            Self::Spanish => "Esta página se actualiza sola cada 10 segundos.",
            Self::English => "This page refreshes itself every 10 seconds.",
            Self::Portuguese => "Esta página se atualiza sozinha a cada 10 segundos.",
        }
    }

    pub(super) const fn unknown(self) -> Texts {
        match self {
            Self::Spanish => Texts {
                title: "No encontramos este pago",
                text: "Revisa el estado de tu compra en la tienda. Si ya pagaste, no pagues de nuevo: tu pago no depende de esta página.",
            },
            Self::English => Texts {
                title: "We could not find this payment",
                text: "Check your order in the shop. If you have paid, do not pay again: your payment does not depend on this page.",
            },
            Self::Portuguese => Texts {
                title: "Não encontramos este pagamento",
                text: "Verifique seu pedido na loja. Se você já pagou, não pague de novo: seu pagamento não depende desta página.",
            },
        }
    }

    pub(super) const fn texts(self, kind: StatusKind) -> Texts {
        let (title, text) = match (self, kind) {
            (Self::Spanish, StatusKind::Unpaid) => (
                "Aún no vemos tu pago",
                "Khipu todavía no ve una transferencia. Si la autorizaste en tu banco, no pagues de nuevo: esta página cambiará sola. Si no alcanzaste a pagar, puedes retomarlo.",
            ),
            (Self::Spanish, StatusKind::Created) => (
                "Tu pago está pendiente",
                "Todavía no vemos una transferencia. Si ya la autorizaste en tu banco, no pagues de nuevo.",
            ),
            (Self::Spanish, StatusKind::Returned | StatusKind::Verifying) => (
                "Estamos verificando tu pago",
                "Tu banco y Khipu lo están confirmando. No pagues de nuevo.",
            ),
            (Self::Spanish, StatusKind::Expired) => (
                "El plazo para pagar terminó",
                "Si alcanzaste a transferir, no pagues de nuevo: lo confirmaremos en cuanto Khipu nos avise.",
            ),
            (Self::Spanish, StatusKind::Cancelled) => (
                "Este cobro fue anulado",
                "La tienda anuló este cobro. Si ya pagaste, comunícate con la tienda.",
            ),
            (Self::Spanish, StatusKind::Rejected) => (
                "El pago no se completó",
                "No se registró un pago. Si crees que pagaste, comunícate con la tienda antes de intentarlo otra vez.",
            ),
            (Self::Spanish, StatusKind::Confirmed) => (
                "Pago confirmado",
                "Recibimos la confirmación de tu pago. ¡Gracias!",
            ),
            (Self::Spanish, StatusKind::Reversed) => (
                "El pago fue devuelto",
                "El dinero fue devuelto. Si tienes dudas, comunícate con la tienda.",
            ),
            (Self::English, StatusKind::Unpaid) => (
                "We do not see your payment yet",
                "Khipu sees no transfer yet. If you authorised one at your bank, do not pay again: this page will change by itself. If you did not get to pay, you can resume.",
            ),
            (Self::English, StatusKind::Created) => (
                "Your payment is pending",
                "We see no transfer yet. If you have authorised it at your bank, do not pay again.",
            ),
            (Self::English, StatusKind::Returned | StatusKind::Verifying) => (
                "We are verifying your payment",
                "Your bank and Khipu are confirming it. Do not pay again.",
            ),
            (Self::English, StatusKind::Expired) => (
                "The time to pay is over",
                "If you did transfer, do not pay again: we will confirm it as soon as Khipu tells us.",
            ),
            (Self::English, StatusKind::Cancelled) => (
                "This charge was cancelled",
                "The shop cancelled this charge. If you have paid, contact the shop.",
            ),
            (Self::English, StatusKind::Rejected) => (
                "The payment was not completed",
                "No payment was registered. If you believe that you paid, contact the shop before trying again.",
            ),
            (Self::English, StatusKind::Confirmed) => (
                "Payment confirmed",
                "Your payment has been confirmed. Thank you!",
            ),
            (Self::English, StatusKind::Reversed) => (
                "The payment was returned",
                "The money was returned. If in doubt, contact the shop.",
            ),
            (Self::Portuguese, StatusKind::Unpaid) => (
                "Ainda não vemos seu pagamento",
                "A Khipu ainda não vê uma transferência. Se você a autorizou no banco, não pague de novo: esta página mudará sozinha. Se não chegou a pagar, você pode retomar.",
            ),
            (Self::Portuguese, StatusKind::Created) => (
                "Seu pagamento está pendente",
                "Ainda não vemos uma transferência. Se você já a autorizou no banco, não pague de novo.",
            ),
            (Self::Portuguese, StatusKind::Returned | StatusKind::Verifying) => (
                "Estamos verificando seu pagamento",
                "Seu banco e a Khipu estão confirmando. Não pague de novo.",
            ),
            (Self::Portuguese, StatusKind::Expired) => (
                "O prazo para pagar terminou",
                "Se você transferiu, não pague de novo: confirmaremos assim que a Khipu nos avisar.",
            ),
            (Self::Portuguese, StatusKind::Cancelled) => (
                "Esta cobrança foi cancelada",
                "A loja cancelou esta cobrança. Se você já pagou, fale com a loja.",
            ),
            (Self::Portuguese, StatusKind::Rejected) => (
                "O pagamento não foi concluído",
                "Nenhum pagamento foi registrado. Se você acha que pagou, fale com a loja antes de tentar de novo.",
            ),
            (Self::Portuguese, StatusKind::Confirmed) => (
                "Pagamento confirmado",
                "Seu pagamento foi confirmado. Obrigado!",
            ),
            (Self::Portuguese, StatusKind::Reversed) => (
                "O pagamento foi devolvido",
                "O dinheiro foi devolvido. Em caso de dúvida, fale com a loja.",
            ),
        };
        Texts { title, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_supported_language_wins() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, text.parse().expect("header"));
            Language::of(&headers)
        };
        assert_eq!(of("en-US,en;q=0.9,es;q=0.8"), Language::English);
        assert_eq!(of("de,pt-BR;q=0.7"), Language::Portuguese);
        assert_eq!(of("de, fr"), Language::Spanish);
        assert_eq!(of(""), Language::Spanish);
        assert_eq!(of("ñ"), Language::Spanish);
        assert_eq!(Language::of(&HeaderMap::new()), Language::Spanish);
    }

    #[test]
    fn no_text_asks_to_pay_again() {
        for language in [Language::Spanish, Language::English, Language::Portuguese] {
            for kind in [
                StatusKind::Created,
                StatusKind::Returned,
                StatusKind::Unpaid,
                StatusKind::Verifying,
                StatusKind::Expired,
            ] {
                let text = language.texts(kind).text;
                let warned = [
                    "no pagues de nuevo",
                    "No pagues de nuevo",
                    "not pay again",
                    "ão pague de novo",
                ];
                assert!(
                    warned.iter().any(|warning| text.contains(warning)),
                    "{text}"
                );
            }
        }
    }
}
