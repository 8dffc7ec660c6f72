//! An ext4 file system of a test's own, whose power can be cut.
//!
//! It lies in an image file and is mounted through a loop device. [`FileSystem::cut_power`] stops
//! it as a power cut does: from then on nothing reaches the image, neither data nor journal, and
//! whatever a process does with its files fails. Mounting it again replays the journal; what was
//! not synced is gone. It is mounted so that nothing but a sync helps: no commit by time, and none
//! on a rename.
//!
//! What it does not do: lose or reorder what the kernel handed to the device already, as a disk
//! with a cache of its own might. The simulated disk does that.
//!
//! Mounting takes root, loop devices and e2fsprogs; where one is missing, tests are skipped with a
//! line that says why, unless `TIDEGATE_REQUIRE_MOUNT` is set. Dropping a file system unmounts and
//! removes it; those of test processes that were killed are removed by the next.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::statvfs;
use tidegate_types::ByteSize;

/// Start of the names of the folders that file systems lie in; the process id follows.
const PREFIX: &str = "tidegate-disk-";

/// Writeback does as little as it may: no journal commit but for a sync, and no flush of a file
/// that is renamed over another.
const OPTIONS: &str = "loop,noauto_da_alloc,commit=3600";

/// `FS_IOC_SHUTDOWN` with the flag "no flush of the log", for which the standard library has no
/// call: by whichever of these is installed.
const SHUTDOWN: [(&str, &str, &str); 2] = [
    (
        "perl",
        "-e",
        "open(my $f, '<', $ARGV[0]) or die \"$!\\n\"; \
         ioctl($f, 0x8004587d, pack('L', 2)) or die \"$!\\n\"",
    ),
    (
        "python3",
        "-c",
        "import fcntl, os, struct, sys; \
         fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))",
    ),
];

/// A mounted file system of its own.
#[derive(Debug)]
pub struct FileSystem {
    /// Holds the image and, unless it is mounted elsewhere, the mount point.
    place: PathBuf,
    point: PathBuf,
    mounted: bool,
}

impl FileSystem {
    /// A new one of this size; `None`, and a line on standard error, where this machine cannot.
    ///
    /// # Panics
    /// If it cannot, and `TIDEGATE_REQUIRE_MOUNT` is set.
    #[must_use]
    pub fn or_skip(test: &str, size: ByteSize) -> Option<FileSystem> {
        static ABLE: OnceLock<Result<(), String>> = OnceLock::new();
        let made = ABLE.get_or_init(try_out).clone().and_then(|()| FileSystem::make(size));
        made.map_err(|why| {
            let required = std::env::var_os("TIDEGATE_REQUIRE_MOUNT").is_some();
            assert!(!required, "{test} cannot run here: {why}");
            // Past the capture of tests' output: a skipped test should be seen.
            _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
        })
        .ok()
    }

    fn make(size: ByteSize) -> Result<FileSystem, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let place = std::env::temp_dir().join(name);
        let point = place.join("mnt");
        std::fs::create_dir_all(&point).map_err(|e| format!("{}: {e}", point.display()))?;
        let mut made = FileSystem { place, point, mounted: false };
        let image = made.image();
        let file =
            std::fs::File::create(&image).map_err(|e| format!("{}: {e}", image.display()))?;
        file.set_len(size.get()).map_err(|e| format!("{}: {e}", image.display()))?;
        // No blocks kept back for root: what is free is what statvfs says.
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image])?;
        made.try_mount()?;
        Ok(made)
    }

    fn image(&self) -> PathBuf {
        self.place.join("image")
    }

    fn try_mount(&mut self) -> Result<(), String> {
        run("mount", &["-t", "ext4", "-o", OPTIONS], &[&self.image(), &self.point])?;
        self.mounted = true;
        Ok(())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Mounts it, which replays its journal.
    ///
    /// # Panics
    /// If it is mounted, or cannot be.
    pub fn mount(&mut self) {
        assert!(!self.mounted, "{} is mounted already", self.point.display());
        self.try_mount().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Mounts it on another folder from now on, and puts the files that lie there on it.
    ///
    /// # Panics
    /// If one of them cannot be copied, or it cannot be mounted there.
    pub fn move_under(&mut self, folder: &Path) {
        let all = folder.join(".");
        run("cp", &["-a"], &[&all, &self.point]).unwrap_or_else(|why| panic!("{why}"));
        self.unmount();
        self.point = folder.to_owned();
        self.mount();
    }

    /// Unmounts it. Nobody may have a file of it open.
    ///
    /// # Panics
    /// If it cannot be unmounted.
    pub fn unmount(&mut self) {
        run("umount", &[], &[&self.point]).unwrap_or_else(|why| panic!("{why}"));
        self.mounted = false;
    }

    /// Stops it at once, with nothing flushed. It fails from now on, until it was unmounted and is
    /// mounted again.
    ///
    /// # Panics
    /// If it cannot be stopped.
    pub fn cut_power(&self) {
        shut_down(&self.point).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Unmounts it and mounts it again.
    ///
    /// # Panics
    /// If that fails; somebody may have a file of it open.
    pub fn remount(&mut self) {
        self.unmount();
        self.mount();
    }

    /// Takes up space until no more than `leave` is free, as somebody else's file would.
    ///
    /// # Panics
    /// If that file cannot be written.
    pub fn fill(&self, leave: ByteSize) -> Ballast {
        use std::io::ErrorKind::StorageFull;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.point.join(format!("ballast-{number}"));
        let mut file = std::fs::File::create(&path).expect("a file for ballast");
        // What others write meanwhile counts too; the last blocks are taken one at a time.
        let mut piece = 1 << 20;
        while self.free() > leave && piece >= 1 << 10 {
            let missing = (self.free().get() - leave.get()).min(piece) as usize;
            match file.write_all(&vec![0; missing]).and_then(|()| file.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == StorageFull => piece /= 2,
                Err(error) => panic!("cannot write {}: {error}", path.display()),
            }
        }
        Ballast { path }
    }

    /// What can still be written.
    ///
    /// # Panics
    /// If the system does not tell.
    #[must_use]
    pub fn free(&self) -> ByteSize {
        let told = statvfs(&self.point).expect("the space of a file system");
        ByteSize::bytes(told.f_bavail * told.f_frsize)
    }
}

/// Space taken up by [`FileSystem::fill`], until it is removed.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Gives the space back.
    ///
    /// # Panics
    /// If the file cannot be removed.
    pub fn remove(self) {
        std::fs::remove_file(&self.path).expect("ballast can be removed");
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        if self.mounted {
            release(&self.point);
        }
        _ = std::fs::remove_dir_all(&self.place);
    }
}

/// Whether all that tests need can be done here.
fn try_out() -> Result<(), String> {
    remove_leftovers();
    let mut trial = FileSystem::make(ByteSize::mib(8))?;
    std::fs::write(trial.path().join("unsynced"), "x").map_err(|error| error.to_string())?;
    shut_down(trial.path())?;
    trial.remount();
    if trial.path().join("unsynced").exists() {
        return Err("a file system that is shut down flushes first".to_owned());
    }
    Ok(())
}

fn shut_down(point: &Path) -> Result<(), String> {
    let mut reasons = Vec::new();
    for (program, option, script) in SHUTDOWN {
        match run(program, &[option, script], &[point]) {
            Ok(()) => return Ok(()),
            Err(why) => reasons.push(why),
        }
    }
    Err(reasons.join("; "))
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(program)
        .args(options)
        .args(paths)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}: {}", output.status, said.trim().replace('\n', "; ")))
}

/// Unmounts whatever happens: where a file is still open, when it is closed.
fn release(point: &Path) {
    if run("umount", &[], &[point]).is_err() {
        _ = run("umount", &["--lazy"], &[point]);
    }
}

/// Unmounts and removes what processes left that are no more.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some((process, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'))
        else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            unmount_image(&entry.path().join("image"));
            _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Unmounts an image wherever it is mounted.
fn unmount_image(image: &Path) {
    let mut list = Command::new("losetup");
    let listed = list.args(["--noheadings", "-O", "NAME", "-j"]).arg(image).output();
    let Ok(output) = listed else { return };
    for device in String::from_utf8_lossy(&output.stdout).lines() {
        release(Path::new(device.trim()));
    }
}
