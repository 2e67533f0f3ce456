//! The browser client and the hosted page's files, embedded in the binary.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::ApiProblem;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const SCRIPTS: [Asset; 2] = [
    Asset {
        name: "chasqui.js",
        content_type: JAVASCRIPT,
        body: include_bytes!("../../../../js-client/dist/chasqui.js"),
    },
    Asset {
        name: "chasqui.iife.js",
        content_type: JAVASCRIPT,
        body: include_bytes!("../../../../js-client/dist/chasqui.iife.js"),
    },
];

const PAGE_ASSETS: [Asset; 2] = [
    Asset {
        name: "page.css",
        content_type: "text/css; charset=utf-8",
        body: include_bytes!("return_page/page.css"),
    },
    Asset {
        name: "page.js",
        content_type: JAVASCRIPT,
        body: include_bytes!("return_page/page.js"),
    },
];

/// Minutes, so that a fix reaches every shop the same day; a page can pin a version instead.
const NEWEST_CACHE: &str = "public, max-age=300";
const PINNED_CACHE: &str = "public, max-age=31536000, immutable";

pub(super) async fn newest(Path(file): Path<String>) -> Result<Response, ApiProblem> {
    asset(&SCRIPTS, &file, NEWEST_CACHE)
}

pub(super) async fn pinned(
    Path((version, file)): Path<(String, String)>,
) -> Result<Response, ApiProblem> {
    if version != env!("CARGO_PKG_VERSION") {
        return Err(missing());
    }
    asset(&SCRIPTS, &file, PINNED_CACHE)
}

pub(super) async fn page_asset(Path(file): Path<String>) -> Result<Response, ApiProblem> {
    asset(&PAGE_ASSETS, &file, NEWEST_CACHE)
}

fn asset(assets: &[Asset], name: &str, cache: &'static str) -> Result<Response, ApiProblem> {
    let asset = assets
        .iter()
        .find(|asset| asset.name == name)
        .ok_or_else(missing)?;
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, cache),
        // Public content for every shop's page; SRI needs CORS.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, asset.body).into_response())
}

fn missing() -> ApiProblem {
    let detail = concat!(
        "there is no such file; this gateway serves version ",
        env!("CARGO_PKG_VERSION")
    );
    ApiProblem::new(StatusCode::NOT_FOUND, "unknown_file", detail)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha384};

    use super::*;

    #[test]
    fn the_readme_prints_the_integrity_of_what_is_served() {
        let readme = include_str!("../../../../README.md");
        for script in &SCRIPTS {
            let integrity = format!("sha384-{}", STANDARD.encode(Sha384::digest(script.body)));
            assert!(
                readme.contains(&integrity),
                "README.md must say integrity=\"{integrity}\" for {}",
                script.name
            );
            let url = format!("/js/{}/{}", env!("CARGO_PKG_VERSION"), script.name);
            assert!(readme.contains(&url), "README.md must name {url}");
        }
    }

    #[test]
    fn the_client_has_the_servers_version() {
        let package = include_str!("../../../../js-client/package.json");
        let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
        assert!(
            package.contains(&version),
            "js-client/package.json must have {version}"
        );
    }
}
