//! What the server counts by itself, read from its internal port.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, bail};

/// Frames that the server has compressed.
const DEFLATED: &str = "jackfield_deflated_frames_total";
const PATIENCE: Duration = Duration::from_secs(10);

/// The counter of compressions of the server whose internal port is at `address`.
pub(crate) fn deflated_frames(address: &str) -> anyhow::Result<u64> {
    let page = page(address).with_context(|| format!("read the metrics of http://{address}/metrics"))?;
    counter(&page, DEFLATED).with_context(|| format!("http://{address}/metrics has no {DEFLATED}"))
}

fn page(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("the answer is {:?}", answer.lines().next().unwrap_or_default());
    }
    Ok(answer)
}

fn counter(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let page = "# TYPE a counter\na_total_more 3\na_total 17\n";
        assert_eq!(counter(page, "a_total"), Some(17));
        assert_eq!(counter(page, "a"), None);
    }
}
