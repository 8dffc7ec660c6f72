//! What happened, as a person would want to see it, and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use tidegate_types::ByteSize;

use super::expect::Faults;
use crate::output::{grouped, human_duration};

/// The figures. Their keys are stable.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// Records acknowledged by the edge.
    pub records_in: u64,
    /// Records that plugins dropped, as the edge counted them.
    pub dropped: u64,
    /// Records that plugins rewrote, as the edge counted them.
    pub rewritten: u64,
    /// Records that the edge stored, as it counted them.
    pub stored: u64,
    /// Records found when all of the region's copies were read at the end.
    pub mirrored: u64,
    /// Records read at the region while the demo ran.
    pub consumed: u64,
    /// Records that did not arrive with the content that they must have.
    pub lost: u64,
    /// Records that came again.
    pub duplicated: u64,
    /// From the first record sent to the last one read.
    pub seconds: f64,
}

/// When the line was cut, and what that did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Time from the first record.
    pub at: Duration,
    /// How long it stayed cut.
    pub lasted: Duration,
    /// Records that the edge took meanwhile.
    pub taken: u64,
    /// Records that came out at the region meanwhile.
    pub arrived: u64,
    /// Time from the mending until all that waited had arrived.
    pub caught_up: Option<Duration>,
}

/// All that is told at the end.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// The figures.
    pub summary: Summary,
    /// Addresses of the edge and the region.
    pub addresses: [String; 2],
    /// Where the records came from.
    pub source: String,
    /// Plugins at work, as `threshold on sensors`.
    pub plugins: Vec<String>,
    /// The cut, if there was one.
    pub cut: Option<Cut>,
    /// Time until the edge had acknowledged everything.
    pub taken_in: Duration,
    /// Bytes of keys and values sent to the edge.
    pub bytes_in: u64,
    /// Bytes of record batches that crossed the line.
    pub bytes_sent: u64,
    /// Bytes of the keys and values that came out at the region.
    pub bytes_out: u64,
    /// What was wrong with what was read.
    pub faults: Faults,
    /// Where counters and content do not agree.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether all arrived once, as it must be.
    pub fn is_good(&self) -> bool {
        self.summary.lost == 0 && self.summary.duplicated == 0 && self.faults.is_none()
    }

    /// The verdict in one line.
    pub fn verdict(&self) -> String {
        if self.is_good() {
            return "Nothing lost, nothing twice: every record arrived with the content and in the \
                    order that it must have."
                .to_owned();
        }
        let counts = [
            (self.summary.lost, "lost"),
            (self.summary.duplicated, "duplicated"),
            (self.faults.altered, "altered"),
            (self.faults.unexpected, "that should not be there"),
            (self.faults.disordered, "out of order"),
        ];
        let told: Vec<_> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(*count)))
            .collect();
        format!("records went wrong: {}", told.join(", "))
    }

    /// The whole story.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let [edge, region] = &self.addresses;
        writeln!(out, "Started   edge on {edge} and region on {region}: two processes, each with")?;
        writeln!(out, "          data and certificates of its own")?;
        if !self.plugins.is_empty() {
            writeln!(out, "Plugins   {}", self.plugins.join(", "))?;
        }
        writeln!(out, "Sent      {}", self.source)?;
        writeln!(out, "          and this machine's telemetry, live")?;
        self.write_cut(out)?;
        writeln!(out)?;
        self.write_table(out)?;
        writeln!(out)?;
        self.write_line(out)?;
        for note in &self.notes {
            writeln!(out, "Note: {note}")?;
        }
        for example in &self.faults.examples {
            writeln!(out, "Wrong: {example}")?;
        }
        writeln!(out)?;
        if self.is_good() { writeln!(out, "{}", self.verdict()) } else { Ok(()) }
    }

    fn write_cut(&self, out: &mut String) -> std::fmt::Result {
        let Some(cut) = self.cut else { return Ok(()) };
        writeln!(
            out,
            "Cut       the line between them after {}, for {}: meanwhile the edge took {}",
            human_duration(cut.at),
            human_duration(cut.lasted),
            records(cut.taken),
        )?;
        writeln!(out, "          and {} came out at the region", records(cut.arrived))?;
        match cut.caught_up {
            Some(after) => {
                writeln!(
                    out,
                    "Mended    it; {} later the region had caught up",
                    human_duration(after)
                )
            }
            None => writeln!(out, "Mended    it; the region never caught up"),
        }
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let s = &self.summary;
        let rate = |records: u64, time: f64| {
            format!("{} a second", grouped((records as f64 / time.max(0.001)) as u64))
        };
        let taken_in = self.taken_in.as_secs_f64();
        let rows = [
            (
                "in",
                s.records_in,
                format!("acknowledged as durable, {}", rate(s.records_in, taken_in)),
            ),
            ("dropped", s.dropped, "by plugins at the edge".to_owned()),
            ("rewritten", s.rewritten, "by plugins at the edge".to_owned()),
            ("stored", s.stored, "at the edge".to_owned()),
            ("mirrored", s.mirrored, "at the region, all of it read again at the end".to_owned()),
            (
                "consumed",
                s.consumed,
                format!("at the region, live, {}", rate(s.consumed, s.seconds)),
            ),
            ("lost", s.lost, String::new()),
            ("duplicated", s.duplicated, String::new()),
        ];
        for (name, count, what) in rows {
            let row = format!("  {name:<10} {:>13}  {what}", grouped(count));
            writeln!(out, "{}", row.trim_end())?;
        }
        writeln!(out, "  {:<10} {:>13}", "time", format!("{:.1} s", s.seconds))
    }

    fn write_line(&self, out: &mut String) -> std::fmt::Result {
        let [came, sent, out_of_it] =
            [self.bytes_in, self.bytes_sent, self.bytes_out].map(ByteSize::bytes);
        writeln!(
            out,
            "Keys and values of {came} came in. {sent} of record batches crossed the line,"
        )?;
        writeln!(out, "uncompressed, with keys and values of {out_of_it}.")?;
        match self.bytes_in.checked_sub(self.bytes_sent) {
            Some(saved) if saved > 0 => {
                let percent = saved as f64 * 100.0 / self.bytes_in.max(1) as f64;
                writeln!(out, "Saved on the line: {}, {percent:.0} %.", ByteSize::bytes(saved))
            }
            _ => writeln!(
                out,
                "No bytes were saved: what batches need beside keys and values is more than the \
                 plugins took away."
            ),
        }
    }
}

fn records(n: u64) -> String {
    match n {
        0 => "no record".to_owned(),
        1 => "1 record".to_owned(),
        _ => format!("{} records", grouped(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            summary: Summary {
                records_in: 200_000,
                dropped: 150_000,
                rewritten: 20_000,
                stored: 50_000,
                mirrored: 50_000,
                consumed: 50_000,
                lost: 0,
                duplicated: 0,
                seconds: 12.5,
            },
            addresses: ["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()],
            source: "a fleet".to_owned(),
            plugins: vec!["threshold on sensors".to_owned(), "redact on logs".to_owned()],
            cut: Some(Cut {
                at: Duration::from_secs(4),
                lasted: Duration::from_secs(4),
                taken: 80_000,
                arrived: 1,
                caught_up: Some(Duration::from_millis(700)),
            }),
            taken_in: Duration::from_secs(10),
            bytes_in: 20 << 20,
            bytes_sent: 5 << 20,
            bytes_out: 4 << 20,
            faults: Faults::default(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn json_has_the_promised_keys() {
        let json = serde_json::to_value(report().summary).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let promised =
            "records_in dropped rewritten stored mirrored consumed lost duplicated seconds";
        assert_eq!(keys.join(" "), promised);
    }

    #[test]
    fn a_good_run_is_told_as_such() {
        let text = report().text();
        for line in [
            "  in               200,000  acknowledged as durable, 20,000 a second\n",
            "  lost                   0\n",
            "  time              12.5 s\n",
            "Saved on the line: 15 MiB, 75 %.\n",
            "came out at the region\nMended    it; 0.7 s later the region had caught up\n",
            "Nothing lost, nothing twice",
        ] {
            assert!(text.contains(line), "{line:?} is missing in\n{text}");
        }
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }

    #[test]
    fn each_fault_spoils_the_verdict() {
        type Spoil = fn(&mut Report);
        let faults: [(Spoil, &str); 5] = [
            (|r| r.summary.lost = 1_200, "1,200 lost"),
            (|r| r.summary.duplicated = 2, "2 duplicated"),
            (|r| r.faults.altered = 3, "3 altered"),
            (|r| r.faults.unexpected = 4, "4 that should not be there"),
            (|r| r.faults.disordered = 5, "5 out of order"),
        ];
        for (spoil, told) in faults {
            let mut report = report();
            spoil(&mut report);
            assert!(!report.is_good());
            assert_eq!(report.verdict(), format!("records went wrong: {told}"));
            assert!(!report.text().contains("Nothing lost"));
        }
    }

    #[test]
    fn savings_are_not_made_up() {
        let mut report = report();
        report.bytes_sent = report.bytes_in + 1;
        assert!(report.text().contains("No bytes were saved"));
    }
}
