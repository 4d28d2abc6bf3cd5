//! Logs that are cut, bent, robbed or restored: each opens with what was promised, or says what is wrong and touches nothing.

use std::sync::Arc;

use jackfield_model::{Payload, Publication};

use super::memory::Memory;
use crate::{FROM_BACKUP, JUMP, Kept, Log, LogError, LogOptions, Opening, Retention};

const RETENTION: Retention = Retention { size: 1_000, ttl: 1_000_000, meta_ttl: 100_000_000, keys: 0 };

fn options(is_careful: bool) -> LogOptions {
    LogOptions { is_careful, segment_bytes: 3_000, max_bytes: 0, boot: [1; 16] }
}

fn open(disk: &Memory, options: LogOptions) -> Result<(Log, Opening), LogError> {
    Log::open(Box::new(disk.clone()), options, &|_| Some(RETENTION), 0)
}

fn kept(offset: u64, time: u64) -> Kept {
    let data = Payload::text(format!("publication {offset}").into_bytes());
    Kept { publication: Arc::new(Publication { offset, data, time, ..Publication::default() }), ..Kept::default() }
}

fn publish(log: &mut Log, offsets: std::ops::Range<u64>) {
    for offset in offsets {
        log.add(&"c".into(), &"e".into(), RETENTION, &kept(offset, 1));
        log.commit().unwrap();
    }
}

fn offsets(opening: &Opening) -> Vec<u64> {
    opening.restored.iter().flat_map(|it| &it.publications).map(|kept| kept.publication.offset).collect()
}

/// The files of a log of several segments that was killed, and their length after each publication.
fn killed(is_careful: bool) -> (Memory, Vec<usize>) {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(is_careful)).unwrap();
    let mut lengths = vec![disk.bytes_in_all()];
    for offset in 1..=150 {
        publish(&mut log, offset..offset + 1);
        lengths.push(disk.bytes_in_all());
    }
    (disk, lengths)
}

#[test]
fn a_log_that_is_cut_at_any_byte_has_all_that_was_acknowledged_before() {
    for is_careful in [true, false] {
        let (disk, lengths) = killed(is_careful);
        let files = disk.files();
        assert!(files.len() > 2, "several segments");
        let mut before = 0;
        for (index, (name, bytes)) in files.iter().enumerate() {
            // A file is there with its head or not at all.
            let head = crate::header::Header::read(bytes).unwrap().1;
            for end in head..=bytes.len() {
                let mut cut = files[..=index].to_vec();
                cut[index] = (name.clone(), bytes[..end].to_vec());
                let disk = Memory::of(&cut);
                let (log, opening) = open(&disk, options(is_careful)).unwrap();
                let acknowledged = lengths.partition_point(|length| *length <= before + end).saturating_sub(1) as u64;
                assert_eq!(offsets(&opening), (1..=acknowledged).collect::<Vec<_>>(), "{name} cut at {end}");
                log.close().unwrap();
            }
            before += bytes.len();
        }
    }
}

#[test]
fn damage_in_the_middle_stops_the_start_and_nothing_is_touched() {
    let (disk, _) = killed(true);
    let files = disk.files();
    for (index, (name, bytes)) in files.iter().enumerate() {
        // The last publication is the torn end of a crash, for all one can know.
        let end = if index + 1 == files.len() { bytes.len() - 60 } else { bytes.len() };
        for at in (0..end).step_by(7) {
            let mut bent = files.clone();
            bent[index].1[at] ^= 0x10;
            let disk = Memory::of(&bent);
            let error = open(&disk, options(true)).unwrap_err();
            let LogError::Damaged { file, .. } = &error else { panic!("{error}") };
            assert_eq!(file, name);
            let text = error.to_string();
            assert!(text.contains("backup") && text.contains("moving the folder away"), "{text}");
            assert_eq!(disk.files(), bent);
        }
    }
}

#[test]
fn what_was_never_safe_may_be_torn_in_the_middle() {
    let (disk, _) = killed(false);
    let files = disk.files();
    let (newest, bytes) = files.last().unwrap();
    let mut bent = files.clone();
    // No sync was ever asked for in this segment, so a power cut may leave any of its sectors out.
    bent.last_mut().unwrap().1[bytes.len() / 2] ^= 1;
    let disk = Memory::of(&bent);
    let (_, opening) = open(&disk, options(false)).unwrap();
    let last = offsets(&opening).len() as u64;
    assert!(opening.torn_bytes > 0 && last < 150 && last > 100, "{newest}: {last}");
}

#[test]
fn a_missing_file_stops_the_start() {
    let (disk, _) = killed(true);
    let mut files = disk.files();
    let (name, _) = files.remove(1);
    let error = open(&Memory::of(&files), options(true)).unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("missing"), "{error}");
}

#[test]
fn a_power_cut_makes_tops_jump_and_a_kill_does_not() {
    let next = LogOptions { boot: [2; 16], ..options(false) };
    let unknown = LogOptions { boot: [0; 16], ..options(false) };
    for (case, is_careful, closes, then, jumps) in [
        ("killed", false, false, options(false), false),
        ("power cut", false, false, next, true),
        ("power cut under fsync = always", true, false, next, false),
        ("closed, then power cut", false, true, next, false),
        ("a system that does not tell", false, false, unknown, true),
    ] {
        let disk = Memory::default();
        let (mut log, _) = open(&disk, options(is_careful)).unwrap();
        publish(&mut log, 1..6);
        if closes {
            log.close().unwrap();
        }
        let top = if jumps { 5 + JUMP } else { 5 };
        let (log, opening) = open(&disk, then).unwrap();
        assert_eq!((opening.has_jumped, opening.restored[0].top), (jumps, top), "{case}");
        assert_eq!(offsets(&opening), [1, 2, 3, 4, 5], "{case}");
        drop(log);
        // The jump itself outlives the next crash.
        let (_, opening) = open(&disk, LogOptions { is_careful: true, ..then }).unwrap();
        assert!(opening.restored[0].top >= top, "{case}");
    }
}

#[test]
fn a_backup_is_told_by_its_mark_once() {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(true)).unwrap();
    publish(&mut log, 1..4);
    log.close().unwrap();
    disk.put(FROM_BACKUP, b"");
    let (log, opening) = open(&disk, options(true)).unwrap();
    assert_eq!((opening.has_jumped, opening.restored[0].top), (true, 3 + JUMP));
    log.close().unwrap();
    let (_, opening) = open(&disk, options(true)).unwrap();
    assert_eq!((opening.has_jumped, opening.restored[0].top), (false, 3 + JUMP));
}

#[test]
fn the_limit_refuses_publications_until_there_is_room() {
    let disk = Memory::default();
    let limited = LogOptions { max_bytes: 20_000, ..options(true) };
    let small = Retention { size: 10, ..RETENTION };
    let (mut log, _) = open(&disk, limited).unwrap();
    for offset in 1..2_000 {
        log.add(&"c".into(), &"e".into(), small, &kept(offset, 1));
        log.commit().unwrap();
    }
    assert!(disk.bytes_in_all() < 20_000, "ten publications are kept");
    let mut refused = None;
    for offset in 1..2_000 {
        log.add(&"big".into(), &"e".into(), RETENTION, &kept(offset, 1));
        if let Err(error) = log.commit() {
            refused = Some((offset, error));
            break;
        }
    }
    let (offset, error) = refused.unwrap();
    assert!(error.to_string().contains("max_bytes, 20000, is reached") && offset > 100, "{offset}: {error}");
    assert!(disk.bytes_in_all() <= 20_000 + 3_000, "{}", disk.bytes_in_all());
    // All of it gets old.
    for _ in 0..20 {
        log.tend(2_000_000).unwrap();
    }
    log.add(&"big".into(), &"e".into(), RETENTION, &kept(offset, 2_000_000));
    log.commit().unwrap();
}

#[test]
fn what_is_no_longer_configured_stays_until_it_is_old() {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(true)).unwrap();
    publish(&mut log, 1..4);
    log.close().unwrap();
    let (log, opening) = Log::open(Box::new(disk.clone()), options(true), &|_| None, 2).unwrap();
    assert_eq!((opening.restored.len(), opening.orphans), (0, 1));
    log.close().unwrap();
    let (log, opening) = open(&disk, options(true)).unwrap();
    assert_eq!(offsets(&opening), [1, 2, 3]);
    log.close().unwrap();
    let (log, opening) = Log::open(Box::new(disk.clone()), options(true), &|_| None, 5_000_000).unwrap();
    assert_eq!(opening.orphans, 1);
    assert!(log.usage().live < 100, "only its position is left");
    drop(log);
    let (_, opening) = open(&disk, options(true)).unwrap();
    assert_eq!(opening.restored[0].top, 3);
}

#[test]
fn a_channel_that_began_anew_is_not_mistaken_for_its_former_life() {
    let disk = Memory::default();
    let (mut log, _) = open(&disk, options(true)).unwrap();
    publish(&mut log, 1..4);
    log.add(&"c".into(), &"f".into(), RETENTION, &kept(1, 1));
    log.commit().unwrap();
    drop(log);
    let (_, opening) = open(&disk, options(true)).unwrap();
    assert_eq!((&*opening.restored[0].epoch, opening.restored[0].top), ("f", 1));
    assert_eq!(offsets(&opening), [1]);
}

#[test]
fn many_starts_leave_few_files() {
    let disk = Memory::default();
    for start in 0..100 {
        let (mut log, _) = open(&disk, options(true)).unwrap();
        publish(&mut log, start + 1..start + 2);
        for _ in 0..4 {
            log.tend(2).unwrap();
        }
        log.close().unwrap();
    }
    assert!(disk.files().len() < 30, "{}", disk.files().len());
    assert_eq!(offsets(&open(&disk, options(true)).unwrap().1), (1..=100).collect::<Vec<_>>());
}
