//! What `/proc` tells about the server's processes, and about the kernel's share.

use std::{collections::HashSet, fs, path::Path};

/// Ticks of `/proc/PID/stat` are hundredths of a second on every Linux of today.
const TICK_US: u64 = 10_000;
const PAGE_BYTES: u64 = 4096;
const LISTENING: &str = "0A";

/// The processes whose CPU and memory count.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pids: Vec<u32>,
}

/// CPU time since the start of the processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
}

/// Memory of the processes, resident and proportional.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) rss_bytes: u64,
    pub(crate) pss_bytes: u64,
}

/// The kernel's memory for sockets, of the whole machine: both ends of each loopback connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kernel {
    pub(crate) tcp_bytes: u64,
    pub(crate) slab_bytes: u64,
}

impl Server {
    pub(crate) fn new(pids: Vec<u32>) -> Self {
        Self { pids }
    }

    /// Whoever on this machine listens on the port.
    pub(crate) fn listening_on(port: u16) -> Self {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let links: HashSet<String> = tables
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listening_inodes(&table, port))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| holds_one_of(*pid, &links))
            .collect();
        Self { pids }
    }

    pub(crate) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Nothing when no process is known or one has ended.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let mut sum = Usage::default();
        for pid in &self.pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let usage = Usage::read(&stat)?;
            sum.user_us += usage.user_us;
            sum.system_us += usage.system_us;
        }
        (!self.pids.is_empty()).then_some(sum)
    }

    pub(crate) fn memory(&self) -> Option<Memory> {
        let mut sum = Memory::default();
        for pid in &self.pids {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .or_else(|_| fs::read_to_string(format!("/proc/{pid}/status")))
                .ok()?;
            sum.rss_bytes += kilobytes(&rollup, "Rss:").or_else(|| kilobytes(&rollup, "VmRSS:"))?;
            sum.pss_bytes += kilobytes(&rollup, "Pss:").unwrap_or_default();
        }
        (!self.pids.is_empty()).then_some(sum)
    }
}

impl Usage {
    fn read(stat: &str) -> Option<Self> {
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15 of all.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        Some(Self { user_us: ticks()? * TICK_US, system_us: ticks()? * TICK_US })
    }

    pub(crate) fn own() -> Self {
        let stat = fs::read_to_string(Path::new("/proc/self/stat")).unwrap_or_default();
        Self::read(&stat).unwrap_or_default()
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user_us: self.user_us.saturating_sub(earlier.user_us),
            system_us: self.system_us.saturating_sub(earlier.system_us),
        }
    }

    pub(crate) fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }
}

/// CPU time that all processes of the machine have had, and what its host took from it.
pub(crate) fn machine_busy_us() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    busy_ticks(stat.lines().next()?).map(|ticks| ticks * TICK_US)
}

/// `cpu user nice system idle iowait irq softirq steal ...`: all but the two kinds of idleness.
fn busy_ticks(line: &str) -> Option<u64> {
    let fields = line.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ticks.iter().sum::<u64>() - idle)
}

impl Kernel {
    pub(crate) fn read() -> Self {
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            tcp_bytes: tcp_pages(&sockstat).unwrap_or_default() * PAGE_BYTES,
            slab_bytes: kilobytes(&meminfo, "Slab:").unwrap_or_default(),
        }
    }
}

/// `TCP: inuse 4 orphan 0 tw 0 alloc 7 mem 12` counts pages in `mem`.
fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    line.split_once("mem ")?.1.split_whitespace().next()?.parse().ok()
}

fn kilobytes(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let listens = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&suffix)) && fields.nth(1) == Some(LISTENING)
    };
    let inode = |line: &str| line.split_whitespace().nth(9).map(str::to_owned);
    table.lines().skip(1).filter(listens).filter_map(inode).collect()
}

fn holds_one_of(pid: u32, links: &HashSet<String>) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|link| link.to_str().is_some_and(|link| links.contains(link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_name() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 21 12 0 0";
        let usage = Usage::read(stat).unwrap();
        assert_eq!((usage.user_us, usage.system_us), (210_000, 120_000));
    }

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::listening_on(listener.local_addr().unwrap().port());
        assert!(server.pids().contains(&std::process::id()));
        assert!(server.memory().unwrap().rss_bytes > 100_000);
        assert!(server.usage().is_some());
        assert!(Server::new(Vec::new()).usage().is_none());
    }

    #[test]
    fn tables_of_the_kernel_are_read() {
        assert_eq!(busy_ticks("cpu  1 2 4 800 900 8 16 32 64 0"), Some(63));
        assert_eq!(tcp_pages("sockets: used 9\nTCP: inuse 1 tw 0 alloc 7 mem 12\n"), Some(12));
        assert_eq!(kilobytes("Rss:   20 kB\nPss: 7 kB", "Pss:"), Some(7168));
    }
}
