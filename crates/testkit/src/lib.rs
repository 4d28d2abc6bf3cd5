//! What tests share: contract suites, a started server, sockets that speak.
