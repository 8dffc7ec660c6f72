//! Checks one log: its files one after the other, then what the index says of them.

use std::path::{Path, PathBuf};

use tidegate_env::{DirEntry, Disk, OpenMode};
use tidegate_types::{ByteSize, Offset, TopicPartition};

use super::report::{LogReport, Problem, ProblemKind};
use super::walk::{Expected, Walked, walk};
use super::{CheckError, CheckOptions, Meter};
use crate::index::{Index, Known};
use crate::{DamageRange, files};

/// What a log's folder holds.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Segments by base offset, with their length.
    pub(super) segments: Vec<(Offset, u64)>,
    /// Names of files that something cut short left.
    leftovers: Vec<String>,
}

impl Folder {
    pub(super) fn read(
        disk: &dyn Disk,
        root: &Path,
        log: TopicPartition,
    ) -> Result<Folder, CheckError> {
        let path = files::partition(root, log);
        let (mut segments, mut leftovers) = (Vec::new(), Vec::new());
        for DirEntry { name, is_dir, len } in
            disk.list(&path).map_err(CheckError::io("list", &path))?
        {
            if let Some(base) = files::segment_base(&name).filter(|_| !is_dir) {
                segments.push((base, len));
            } else if files::is_leftover(&name) || files::is_cleaned(&name) {
                leftovers.push(name);
            }
        }
        segments.sort_unstable();
        Ok(Folder { path, segments, leftovers })
    }
}

/// The bytes in a log's segments.
pub(super) fn bytes(disk: &dyn Disk, root: &Path, log: TopicPartition) -> Result<u64, CheckError> {
    let folder = Folder::read(disk, root, log)?;
    Ok(folder.segments.iter().map(|(_, len)| len).sum())
}

/// What the index knows of this life of a log.
pub(super) fn known(
    disk: &dyn Disk,
    index: Option<&Index>,
    folder: &Folder,
    log: TopicPartition,
) -> Result<(Option<tidegate_types::Incarnation>, Known), CheckError> {
    let stored = files::read_incarnation(disk, &folder.path)
        .map_err(CheckError::io("read the incarnation in", &folder.path))?;
    let known = index.and_then(|index| index.known(log).ok()).unwrap_or_default();
    let other_life = match (&known.meta, stored) {
        (Some(meta), Some(stored)) => meta.incarnation != stored,
        (Some(_), None) => folder.segments.is_empty(),
        (None, _) => true,
    };
    Ok((stored, if other_life { Known::default() } else { known }))
}

/// Reads one segment's file and compares it with its rows.
pub(super) fn walk_segment(
    disk: &dyn Disk,
    index: Option<&Index>,
    folder: &Folder,
    known: &Known,
    at: usize,
    (log, options): (TopicPartition, CheckOptions),
    meter: &mut Meter<'_>,
) -> Result<Walked, CheckError> {
    let (base, _) = folder.segments[at];
    let successor = folder.segments.get(at + 1).map(|(next, _)| *next);
    let path = files::segment(&folder.path, base);
    let file = disk.open(&path, OpenMode::Read).map_err(CheckError::io("open", &path))?;
    let row = known.segments.iter().find(|(known, _)| *known == base).map(|(_, row)| *row);
    let sparse =
        index.filter(|_| row.is_some()).and_then(|index| index.sparse(log, base).ok().flatten());
    let durable = known.durable.max(row.map(|row| row.next));
    let expected = Expected {
        base,
        durable: if successor.is_some() { None } else { durable },
        successor,
        row: row.map(|row| (row, sparse.as_ref())),
        deep: options.deep,
    };
    walk(&*file, &expected, &mut |bytes| meter.add(log, bytes))
        .map_err(CheckError::io("read", path))
}

pub(super) fn check(
    disk: &dyn Disk,
    root: &Path,
    index: Option<&Index>,
    log: TopicPartition,
    options: CheckOptions,
    meter: &mut Meter<'_>,
) -> Result<LogReport, CheckError> {
    let folder = Folder::read(disk, root, log)?;
    let (incarnation, known) = known(disk, index, &folder, log)?;
    let first = folder.segments.first().map_or(Offset::ZERO, |(base, _)| *base);
    let start = known.meta.as_ref().map_or(first, |meta| meta.start);
    let mut report = LogReport {
        log,
        incarnation,
        start,
        end: start,
        segments: folder.segments.len(),
        batches: 0,
        records: 0,
        bytes: ByteSize::bytes(0),
        problems: Vec::new(),
    };
    if incarnation.is_none() && !folder.segments.is_empty() {
        let what = "the incarnation file is missing or is none".to_owned();
        report.add(ProblemKind::NoIncarnation, Some("incarnation".to_owned()), what);
    }
    for name in &folder.leftovers {
        let what = "left from something that was cut short; the next start removes it".to_owned();
        report.add(ProblemKind::Leftover, Some(name.clone()), what);
    }
    for (base, row) in &known.segments {
        if row.next > start && folder.segments.iter().all(|(file, _)| file != base) {
            let range = DamageRange { from: (*base).max(start), end: row.next };
            let what = format!("the file is gone, offsets {} to {} with it", range.from, range.end);
            report.add(ProblemKind::MissingFile { range }, Some(file_name(*base)), what);
        }
    }
    let (mut bytes, mut files_end) = (0, Offset::ZERO);
    for at in 0..folder.segments.len() {
        let base = folder.segments[at].0;
        let walked = walk_segment(disk, index, &folder, &known, at, (log, options), meter)?;
        // Not with the log's start: a file that lies before it may be there still.
        if base < files_end {
            let end = files_end;
            let what = format!("begins at offset {base}, the file before it ends at {end}");
            report.add(
                ProblemKind::Overlap { base_offset: base, end },
                Some(file_name(base)),
                what,
            );
        }
        report.batches += walked.batches;
        report.records += walked.records;
        bytes += walked.bytes;
        files_end = files_end.max(walked.next);
        report.end = report.end.max(walked.next);
        let last = at + 1 == folder.segments.len();
        let row = known.segments.iter().find(|(known, _)| *known == base).map(|(_, row)| row.next);
        let durable = row.max(known.durable.filter(|_| last));
        report.walked(base, walked, durable);
    }
    report.bytes = ByteSize::bytes(bytes);
    report.recorded(known.meta.as_ref().map_or(&[], |meta| &meta.damage));
    Ok(report)
}

pub(super) fn file_name(base: Offset) -> String {
    files::segment(Path::new(""), base).to_string_lossy().into_owned()
}

impl LogReport {
    fn add(&mut self, kind: ProblemKind, file: Option<String>, what: String) {
        self.problems.push(Problem { kind, file, what });
    }

    /// Adds what is wrong in a file, whose content was durable up to the offset `durable`.
    fn walked(&mut self, base: Offset, walked: Walked, durable: Option<Offset>) {
        let name = || Some(file_name(base));
        let ends_damaged = walked.damaged.last().is_some_and(|bad| bad.position >= walked.len);
        for bad in walked.damaged {
            let (position, range) = (bad.position, bad.range);
            let bytes = ByteSize::bytes(bad.bytes);
            let what = format!(
                "{} bytes at byte {position} are no batch: {}; offsets {} to {} are lost",
                bad.bytes, bad.what, range.from, range.end
            );
            self.add(ProblemKind::Damaged { position, bytes, range }, name(), what);
        }
        for (position, base_offset, why) in walked.unreadable {
            let what = format!("the batch at byte {position}, offset {base_offset}: {why}");
            self.add(ProblemKind::Unreadable { position, base_offset }, name(), what);
        }
        if let Some((position, bytes)) = walked.torn {
            let what = format!("the last {bytes} bytes, from byte {position}, are no batch");
            let bytes = ByteSize::bytes(bytes);
            self.add(ProblemKind::TornTail { position, bytes }, name(), what);
        }
        if let Some(end) = durable.filter(|end| *end > walked.next && !ends_damaged) {
            let range = DamageRange { from: walked.next, end };
            let what = format!("it ends at offset {}, but was synced up to {end}", walked.next);
            self.add(ProblemKind::Cut { range }, name(), what);
        }
        if let Some(what) = walked.disagrees {
            self.add(ProblemKind::IndexRow, name(), what);
        }
    }

    /// Takes losses that are recorded for what they are: no longer problems of their own, unless
    /// the bytes are still there.
    fn recorded(&mut self, recorded: &[DamageRange]) {
        let within = |range: DamageRange| {
            recorded.iter().any(|known| known.from <= range.from && range.end <= known.end)
        };
        self.problems.retain(|problem| match problem.kind {
            ProblemKind::Cut { range } | ProblemKind::MissingFile { range } => !within(range),
            _ => true,
        });
        for range in recorded {
            let what = format!("offsets {} to {} are recorded as lost", range.from, range.end);
            self.add(ProblemKind::RecordedGap { range: *range }, None, what);
        }
    }
}
