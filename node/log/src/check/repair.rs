//! Repairs what a check found. See the [module](super) for what is done and in which order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_env::{Clock, Disk, DiskFile, OpenMode, SystemClock};
use tidegate_types::TopicPartition;

use super::log::{Folder, file_name, known};
use super::report::{LogReport, ProblemKind, Progress, Report, Severity};
use super::{CheckError, CheckOptions, INDEX_CACHE, check_held, take};
use crate::config::{LogConfig, StoreConfig};
use crate::index::{Change, Index, LogMeta};
use crate::{DamageRange, LogStore, files};

/// Copied at once.
const PIECE: usize = 1 << 20;

/// A stretch of a file: where it begins and ends.
type Stretch = std::ops::Range<u64>;

/// Checks all logs in `root` and repairs what is wrong with them; the report tells how they are
/// afterwards, and what was done.
///
/// `progress` is told of both checks, the one before and the one after.
///
/// # Errors
/// As [`check`](super::check); besides, if the index can neither be opened nor made anew.
pub fn repair(
    disk: &Arc<dyn Disk>,
    root: &Path,
    options: CheckOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, CheckError> {
    let held = take(&**disk, root)?;
    let before = check_held(disk, root, options, progress)?;
    if before.worst().is_none_or(|worst| worst == Severity::Note) && !needs_opening(&before) {
        return Ok(before);
    }
    let mut done = Vec::new();
    let index = Index::open(disk, root, INDEX_CACHE)
        .map_err(|(path, source)| CheckError::Index { path, source })?;
    for report in &before.logs {
        take_out_damage(&**disk, root, &index, report, &mut done)?;
    }
    index.close();
    drop(held);
    open_logs(disk, root, &before, &mut done)?;
    let held = take(&**disk, root)?;
    let after = check_held(disk, root, options, progress);
    drop(held);
    Ok(Report { repaired: done, ..after? })
}

/// Whether there is something that opening a log puts right.
fn needs_opening(report: &Report) -> bool {
    let problems = report.logs.iter().flat_map(|log| &log.problems);
    !report.deleting.is_empty()
        || problems.into_iter().any(|problem| {
            matches!(problem.kind, ProblemKind::TornTail { .. } | ProblemKind::Leftover)
        })
}

/// Takes the damaged bytes out of a log's segments.
fn take_out_damage(
    disk: &dyn Disk,
    root: &Path,
    index: &Index,
    report: &LogReport,
    done: &mut Vec<String>,
) -> Result<(), CheckError> {
    let mut damaged: Vec<(&str, Stretch, DamageRange)> = Vec::new();
    for problem in &report.problems {
        if let (ProblemKind::Damaged { position, bytes, range }, Some(file)) =
            (&problem.kind, &problem.file)
        {
            damaged.push((file, *position..position + bytes.get(), *range));
        }
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let folder = Folder::read(disk, root, report.log)?;
    let lost = damaged.iter().map(|(_, _, range)| *range);
    if !record(disk, index, &folder, report, lost)? {
        // Without it nothing can be recorded of the log. The node gives it a new one.
        done.push(format!(
            "{}: left as it is, since its incarnation is lost: start the node once, then repair",
            report.log
        ));
        return Ok(());
    }
    for (base, _) in &folder.segments {
        let name = file_name(*base);
        let of_file = damaged.iter().filter(|(file, _, _)| *file == name);
        let stretches: Vec<Stretch> = of_file.map(|(_, stretch, _)| stretch.clone()).collect();
        if stretches.is_empty() {
            continue;
        }
        for stretch in &stretches {
            let kept = keep_copy(disk, &folder.path, &name, stretch)?;
            done.push(format!(
                "{}: {} bytes at byte {} of {name} are kept in {kept}",
                report.log,
                stretch.end - stretch.start,
                stretch.start
            ));
        }
        disk.sync_dir(&folder.path).map_err(CheckError::io("sync", &folder.path))?;
        rewrite(disk, &folder.path, &name, &stretches)?;
        done.push(format!("{}: {name} is written anew without them", report.log));
    }
    Ok(())
}

/// Records losses in the index before the bytes go. The log's rows go at once: from here on they
/// would be wrong. False if there is no telling which life of the log it is.
fn record(
    disk: &dyn Disk,
    index: &Index,
    folder: &Folder,
    report: &LogReport,
    lost: impl Iterator<Item = DamageRange>,
) -> Result<bool, CheckError> {
    let (stored, known) = known(disk, Some(index), folder, report.log)?;
    let meta = known.meta.or_else(|| {
        let (start, epochs, damage) = (report.start, Vec::new(), Vec::new());
        stored.map(|incarnation| LogMeta { incarnation, start, epochs, damage })
    });
    let Some(mut meta) = meta else { return Ok(false) };
    for range in lost {
        if range.from < range.end && !meta.damage.contains(&range) {
            DamageRange::insert(&mut meta.damage, range);
        }
    }
    let changes = [Change::Log(report.log, meta), Change::RemoveSegments(report.log)];
    match index.commit(&changes) {
        Ok(()) => Ok(true),
        Err(source) => Err(CheckError::Index { path: folder.path.clone(), source }),
    }
}

/// Copies a damaged stretch beside its file; the copy's name.
fn keep_copy(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    stretch: &Stretch,
) -> Result<String, CheckError> {
    let source = open(disk, &folder.join(name), OpenMode::Read)?;
    let first = format!("{name}.damaged-{}", stretch.start);
    // One that is there may be of an earlier damage at the same position.
    for n in 1.. {
        let kept = if n == 1 { first.clone() } else { format!("{first}-{n}") };
        let path = folder.join(&kept);
        if disk.exists(&path).map_err(CheckError::io("look for", &path))? {
            let other = open(disk, &path, OpenMode::Read)?;
            if !same(&*source, stretch, &*other).map_err(CheckError::io("read", &path))? {
                continue;
            }
        }
        copy(disk, &*source, std::slice::from_ref(stretch), &path)?;
        return Ok(kept);
    }
    Ok(first)
}

/// Whether `other` is a copy of the stretch.
fn same(source: &dyn DiskFile, stretch: &Stretch, other: &dyn DiskFile) -> std::io::Result<bool> {
    let len = stretch.end - stretch.start;
    if other.len()? != len {
        return Ok(false);
    }
    let mut at = 0;
    while at < len {
        let piece = (len - at).min(PIECE as u64) as usize;
        let (mut left, mut right) = (vec![0; piece], vec![0; piece]);
        source.read_exact_at(stretch.start + at, &mut left)?;
        other.read_exact_at(at, &mut right)?;
        if left != right {
            return Ok(false);
        }
        at += piece as u64;
    }
    Ok(true)
}

/// Writes a segment anew without the stretches, which rise, and puts it in its place.
fn rewrite(
    disk: &dyn Disk,
    folder: &Path,
    name: &str,
    without: &[Stretch],
) -> Result<(), CheckError> {
    let path = folder.join(name);
    let source = open(disk, &path, OpenMode::Read)?;
    let mut kept = Vec::new();
    let mut at = 0;
    for stretch in without {
        kept.push(at..stretch.start);
        at = stretch.end;
    }
    kept.push(at..source.len().map_err(CheckError::io("measure", &path))?);
    let new = folder.join(format!("{name}{}", files::REPAIRED));
    copy(disk, &*source, &kept, &new)?;
    disk.rename(&new, &path).map_err(CheckError::io("replace", &path))?;
    disk.sync_dir(folder).map_err(CheckError::io("sync", folder))
}

/// Copies stretches of a file, end to end, into a new one; its content is durable on return.
fn copy(
    disk: &dyn Disk,
    source: &dyn DiskFile,
    stretches: &[Stretch],
    to: &PathBuf,
) -> Result<(), CheckError> {
    let target = open(disk, to, OpenMode::Create)?;
    let write = || -> std::io::Result<()> {
        target.set_len(0)?;
        let (mut position, mut piece) = (0, Vec::new());
        for stretch in stretches {
            let mut at = stretch.start;
            while at < stretch.end {
                piece.resize((stretch.end - at).min(PIECE as u64) as usize, 0);
                source.read_exact_at(at, &mut piece)?;
                target.write_at(position, &piece)?;
                (at, position) = (at + piece.len() as u64, position + piece.len() as u64);
            }
        }
        target.sync_data()
    };
    write().map_err(CheckError::io("write", to))
}

fn open(disk: &dyn Disk, path: &Path, mode: OpenMode) -> Result<Box<dyn DiskFile>, CheckError> {
    disk.open(path, mode).map_err(CheckError::io("open", path))
}

/// Opens and closes every log in which something was wrong, which recovers it.
fn open_logs(
    disk: &Arc<dyn Disk>,
    root: &Path,
    before: &Report,
    done: &mut Vec<String>,
) -> Result<(), CheckError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (store, _step) =
        LogStore::open_stepped(Arc::clone(disk), clock, root, StoreConfig::default())
            .map_err(CheckError::Open)?;
    for name in &before.deleting {
        done.push(format!("{name}: what its deletion left is removed"));
    }
    let known = |log: TopicPartition| before.logs.iter().find(|report| report.log == log);
    for id in store.logs_on_disk().map_err(CheckError::io("list the logs in", root))? {
        let Some(report) = known(id) else { continue };
        let Some(incarnation) = report.incarnation else { continue };
        let wrong = |kind: &ProblemKind| !matches!(kind, ProblemKind::RecordedGap { .. });
        if report.problems.iter().any(|problem| wrong(&problem.kind)) {
            let log =
                store.open_log(id, incarnation, LogConfig::default()).map_err(CheckError::Open)?;
            drop(log);
            done.push(format!("{id}: recovered"));
        }
    }
    store.close();
    Ok(())
}
