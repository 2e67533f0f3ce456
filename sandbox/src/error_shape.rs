//! Errors of the web framework, such as 413 and an empty 404, in Khipu's shape.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;

/// A layer around all routes. Handlers answer JSON or HTML; other errors are the framework's.
pub(crate) async fn khipu_errors(request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let status = answer.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || is_from_handler(&answer) {
        return answer;
    }
    let mut error = ApiError::new(status, message(status)).into_response();
    if let Some(methods) = answer.headers().get(ALLOW) {
        error.headers_mut().insert(ALLOW, methods.clone());
    }
    error
}

/// For paths without a route.
pub(crate) async fn unknown_path() -> ApiError {
    ApiError::not_found(message(StatusCode::NOT_FOUND))
}

fn is_from_handler(answer: &Response) -> bool {
    let content_type = answer.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| {
        value.starts_with("application/json") || value.starts_with("text/html")
    })
}

fn message(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "Recurso no disponible",
        StatusCode::METHOD_NOT_ALLOWED => "Método no permitido",
        StatusCode::PAYLOAD_TOO_LARGE => "El cuerpo excede el tamaño máximo",
        _ => "Solicitud no válida",
    }
}
