//! The data plane: sockets and threads.
