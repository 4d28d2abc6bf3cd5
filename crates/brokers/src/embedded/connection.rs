//! One client of the embedded queue: what it says of itself, its transaction, and its waits. No socket in here.

use bytes::Bytes;
use jackfield_model::Millis;

use super::command::{self, CommandError, Context, Outcome};
use super::resp;
use super::store::Store;

/// The most a transaction may hold before EXEC.
const TRANSACTION_LIMIT_BYTES: usize = 32 << 20;

/// What the socket's keeper does after a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Goes on with the next request.
    Answered,
    /// Sends what is written and hangs up.
    Close,
    /// Applies the same request again when the store has changed, and gives up after so long; zero is never.
    Wait(Millis),
}

/// Requests between MULTI and EXEC.
#[derive(Debug, Default)]
struct Transaction {
    requests: Vec<Vec<Bytes>>,
    bytes: usize,
    broken: bool,
}

/// What a connection remembers between requests.
#[derive(Debug)]
pub(super) struct Connection {
    id: u64,
    name: Bytes,
    transaction: Option<Transaction>,
}

impl Connection {
    pub(super) fn new(id: u64) -> Self {
        Self { id, name: Bytes::new(), transaction: None }
    }

    /// Does one request and writes its reply.
    pub(super) fn handle(&mut self, store: &mut Store, now: Millis, parts: &[Bytes], out: &mut Vec<u8>) -> Next {
        let Some((name, rest)) = parts.split_first() else {
            return Next::Answered;
        };
        let name = name.to_ascii_lowercase();
        match name.as_slice() {
            b"multi" | b"exec" | b"discard" => {
                self.transact(&name, &mut Context { store, now, out });
                return Next::Answered;
            }
            b"quit" => {
                resp::simple(out, "OK");
                return Next::Close;
            }
            _ => {}
        }
        if self.transaction.is_some() {
            self.enqueue(parts, out);
            return Next::Answered;
        }
        let mut context = Context { store, now, out };
        let result = match self.speak(&name, rest, &mut context) {
            Some(result) => result.map(|()| Outcome::Done),
            None => command::apply(&mut context, parts),
        };
        match result {
            Ok(Outcome::Done) => Next::Answered,
            Ok(Outcome::Empty(wait)) => Next::Wait(wait),
            Err(error) => {
                command::refuse(out, &error);
                Next::Answered
            }
        }
    }

    /// Commands about the connection; none where the store has to do it.
    fn speak(&mut self, name: &[u8], rest: &[Bytes], context: &mut Context<'_>) -> Option<Result<(), CommandError>> {
        let out = &mut *context.out;
        Some(match (name, rest) {
            (b"ping", []) => {
                resp::simple(out, "PONG");
                Ok(())
            }
            (b"ping" | b"echo", [text]) => {
                resp::bulk(out, text);
                Ok(())
            }
            (b"ping", _) => Err(CommandError::Arity("ping")),
            (b"echo", _) => Err(CommandError::Arity("echo")),
            (b"hello", rest) => self.hello(rest, out),
            (b"client", rest) => self.client(rest, out),
            (b"select", [database]) if database.as_ref() == b"0" => {
                resp::simple(out, "OK");
                Ok(())
            }
            (b"select", _) => Err(message("ERR DB index is out of range")),
            (b"command", _) => {
                resp::array(out, 0);
                Ok(())
            }
            (b"info", _) => {
                let (used, limit) = (context.store.used_bytes(), context.store.limit_bytes());
                let text = format!(
                    "# Server\r\nredis_version:6.2.0\r\nredis_mode:standalone\r\nserver_name:jackfield\r\n\
                     # Memory\r\nused_memory:{used}\r\nmaxmemory:{limit}\r\n"
                );
                resp::bulk(out, text.as_bytes());
                Ok(())
            }
            _ => return None,
        })
    }

    /// `HELLO [2 [SETNAME name]]`: says who is here. There is no password, so AUTH is refused.
    fn hello(&mut self, rest: &[Bytes], out: &mut Vec<u8>) -> Result<(), CommandError> {
        let (version, mut options) = match rest.split_first() {
            Some((version, options)) => (version.as_ref(), options),
            None => (b"2".as_slice(), rest),
        };
        if version != b"2" {
            return Err(message("NOPROTO unsupported protocol version"));
        }
        while let Some((option, values)) = options.split_first() {
            match values {
                [name, others @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    self.name = Bytes::copy_from_slice(name);
                    options = others;
                }
                _ => {
                    let option = String::from_utf8_lossy(option).into_owned();
                    return Err(message(&format!("ERR Syntax error in HELLO option '{option}'")));
                }
            }
        }
        resp::array(out, 14);
        let words = [("server", "redis"), ("version", "6.2.0"), ("mode", "standalone"), ("role", "master")];
        for (key, word) in words {
            resp::bulk(out, key.as_bytes());
            resp::bulk(out, word.as_bytes());
        }
        resp::bulk(out, b"proto");
        resp::integer(out, 2);
        resp::bulk(out, b"id");
        resp::integer(out, i64::try_from(self.id).unwrap_or(i64::MAX));
        resp::bulk(out, b"modules");
        resp::array(out, 0);
        Ok(())
    }

    fn client(&mut self, rest: &[Bytes], out: &mut Vec<u8>) -> Result<(), CommandError> {
        let (word, values) = rest.split_first().ok_or(CommandError::Arity("client"))?;
        match (word.to_ascii_lowercase().as_slice(), values) {
            (b"setinfo", [_, _]) => resp::simple(out, "OK"),
            (b"setname", [name]) => {
                self.name = Bytes::copy_from_slice(name);
                resp::simple(out, "OK");
            }
            (b"getname", []) if self.name.is_empty() => resp::null(out),
            (b"getname", []) => resp::bulk(out, &self.name),
            (b"id", []) => resp::integer(out, i64::try_from(self.id).unwrap_or(i64::MAX)),
            _ => {
                let word = String::from_utf8_lossy(word).into_owned();
                return Err(message(&format!(
                    "ERR unknown subcommand or wrong number of arguments for '{word}'. Try CLIENT HELP."
                )));
            }
        }
        Ok(())
    }

    fn transact(&mut self, name: &[u8], context: &mut Context<'_>) {
        match (name, self.transaction.take()) {
            (b"multi", None) => {
                self.transaction = Some(Transaction::default());
                resp::simple(context.out, "OK");
            }
            (b"multi", Some(transaction)) => {
                self.transaction = Some(transaction);
                resp::error(context.out, "ERR MULTI calls can not be nested");
            }
            (b"exec", None) => resp::error(context.out, "ERR EXEC without MULTI"),
            (b"exec", Some(transaction)) if transaction.broken => {
                let text = "EXECABORT Transaction discarded because of previous errors.";
                resp::error(context.out, text);
            }
            (b"exec", Some(transaction)) => self.execute(&transaction.requests, context),
            (_, None) => resp::error(context.out, "ERR DISCARD without MULTI"),
            (_, Some(_)) => resp::simple(context.out, "OK"),
        }
    }

    /// One lock is held over all of it, so nothing comes in between. What would wait has nothing at once.
    fn execute(&mut self, requests: &[Vec<Bytes>], context: &mut Context<'_>) {
        resp::array(context.out, requests.len());
        for parts in requests {
            let (now, out) = (context.now, &mut *context.out);
            match self.handle(context.store, now, parts, out) {
                Next::Answered | Next::Close => {}
                Next::Wait(_) => resp::null_array(context.out),
            }
        }
    }

    fn enqueue(&mut self, parts: &[Bytes], out: &mut Vec<u8>) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let own = [b"ping".as_slice(), b"echo", b"client", b"select", b"info", b"command"];
        let of_connection = own.iter().any(|name| parts[0].eq_ignore_ascii_case(name));
        let result = if of_connection { Ok(()) } else { command::check(parts) };
        transaction.bytes += parts.iter().map(|part| part.len() + 64).sum::<usize>();
        let result = match result {
            Ok(()) if transaction.bytes > TRANSACTION_LIMIT_BYTES => Err(message("ERR the transaction is too big")),
            Ok(()) | Err(_) => result,
        };
        match result {
            Ok(()) => {
                transaction.requests.push(parts.to_vec());
                resp::simple(out, "QUEUED");
            }
            Err(error) => {
                transaction.broken = true;
                transaction.requests.clear();
                command::refuse(out, &error);
            }
        }
    }
}

fn message(text: &str) -> CommandError {
    CommandError::Message(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Client {
        store: Store,
        connection: Connection,
    }

    impl Client {
        fn new() -> Self {
            Self { store: Store::new(1 << 20), connection: Connection::new(7) }
        }

        fn says(&mut self, line: &str) -> String {
            let parts: Vec<Bytes> = line.split(' ').map(|word| Bytes::from(word.to_owned())).collect();
            let mut out = Vec::new();
            self.connection.handle(&mut self.store, 1, &parts, &mut out);
            String::from_utf8(out).unwrap().trim_end().replace("\r\n", " ")
        }
    }

    #[test]
    fn handshakes_of_stock_clients_pass() {
        let mut client = Client::new();
        assert!(client.says("HELLO 2 SETNAME me").starts_with("*14 $6 server $5 redis"));
        assert_eq!(client.says("CLIENT GETNAME"), "$2 me");
        assert_eq!(client.says("HELLO 3"), "-NOPROTO unsupported protocol version");
        assert_eq!(client.says("HELLO 2 AUTH a b"), "-ERR Syntax error in HELLO option 'AUTH'");
        assert_eq!(client.says("CLIENT SETINFO LIB-NAME redis-py"), "+OK");
        assert_eq!(client.says("CLIENT ID"), ":7");
        assert!(client.says("CLIENT KILL").starts_with("-ERR unknown subcommand"));
        assert_eq!(client.says("SELECT 0"), "+OK");
        assert_eq!(client.says("SELECT 1"), "-ERR DB index is out of range");
        assert_eq!(client.says("PING"), "+PONG");
        assert_eq!(client.says("ECHO a"), "$1 a");
        assert_eq!(client.says("COMMAND DOCS"), "*0");
        assert!(client.says("INFO").contains("redis_version"));
        assert_eq!(client.says("ECHO"), "-ERR wrong number of arguments for 'echo' command");
    }

    #[test]
    fn a_transaction_is_done_whole_or_not_at_all() {
        let mut client = Client::new();
        assert_eq!(client.says("EXEC"), "-ERR EXEC without MULTI");
        assert_eq!(client.says("MULTI"), "+OK");
        assert_eq!(client.says("MULTI"), "-ERR MULTI calls can not be nested");
        assert_eq!(client.says("RPUSH l a b"), "+QUEUED");
        assert_eq!(client.says("BLPOP none 0"), "+QUEUED");
        assert_eq!(client.says("LPOP l"), "+QUEUED");
        assert_eq!(client.says("EXEC"), "*3 :2 *-1 $1 a");
        assert_eq!(client.says("MULTI"), "+OK");
        assert!(client.says("FLUSHALL").starts_with("-ERR unknown command"));
        assert_eq!(client.says("LPOP l"), "+QUEUED");
        assert!(client.says("EXEC").starts_with("-EXECABORT"));
        assert_eq!(client.says("MULTI"), "+OK");
        assert_eq!(client.says("LPOP l"), "+QUEUED");
        assert_eq!(client.says("DISCARD"), "+OK");
        assert_eq!(client.says("LLEN l"), ":1");
        assert_eq!(client.says("DISCARD"), "-ERR DISCARD without MULTI");
    }
}
