//! The page that `--dev` serves.

use bytes::Bytes;
use jackfield_worker::Page;

/// The page at `/`.
pub(crate) fn index() -> Page {
    Page { content_type: "text/html; charset=utf-8", body: Bytes::from_static(include_bytes!("page/index.html")) }
}
