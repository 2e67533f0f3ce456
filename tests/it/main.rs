//! Scenario tests: the real gateway against the real sandbox, over HTTP and WebSocket. One file for each part of the URL
//! tree or each kind of trouble.

mod whole_path;
