//! Answers of the API: JSON always, and every error says what failed and what to do.

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::ErrorBody;
use crate::daemon::EngineStopped;

/// An error answer.
#[derive(Debug)]
pub struct ApiError {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

/// What every handler returns.
pub type Answer<T> = Result<Json<T>, ApiError>;

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = self.message;
        let mut answer = (self.status, Json(ErrorBody { error })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        answer
    }
}

/// The same as Alertmanager's clients read it: a text as JSON, where ours is an object.
#[derive(Debug)]
pub struct AlertmanagerError(ApiError);

impl<E> From<E> for AlertmanagerError
where
    ApiError: From<E>,
{
    fn from(error: E) -> Self {
        Self(ApiError::from(error))
    }
}

impl AlertmanagerError {
    /// With the other status, where it has this one.
    pub fn instead(mut self, of: StatusCode, other: StatusCode) -> Self {
        if self.0.status == of {
            self.0.status = other;
        }
        self
    }
}

impl IntoResponse for AlertmanagerError {
    fn into_response(self) -> Response {
        (self.0.status, Json(self.0.message)).into_response()
    }
}

impl From<EngineStopped> for ApiError {
    fn from(stopped: EngineStopped) -> Self {
        let message = format!("{stopped}: the daemon is going down, its log says why");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}
