//! The queue door of the web application.
