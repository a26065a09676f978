//! What a store refuses, and what it stops for.

use super::super::connection;
use super::super::fault::{is_failing, is_full, meaning};
use super::super::guard::{Guard, Stop, check_place, refused};
use super::{message, path, store};
use crate::error::StoreError;
use crate::store::Store;
use rusqlite::ffi;

#[test]
fn network_file_systems_are_refused_and_disks_are_not() {
    // NFS, SMB, CIFS, SMB 2, 9p, FUSE: as in the kernel's magic.h.
    for magic in [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546] {
        assert!(refused(magic).is_some(), "{magic:x}");
    }
    // ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS, bcachefs.
    for magic in [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0x2fc1_2fc1,
        0xf2f5_2010,
        0xca45_1a4e,
    ] {
        assert_eq!(refused(magic), None, "{magic:x}");
    }
    let (folder, _store) = store();
    check_place(&path(&folder)).unwrap();
    check_place(&folder.path().join("not there yet.db")).unwrap();
}

fn error(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

#[test]
fn a_failing_disk_is_not_taken_for_a_full_one() {
    for code in [
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_TRUNCATE,
        ffi::SQLITE_CORRUPT,
        ffi::SQLITE_NOTADB,
    ] {
        assert!(is_failing(ffi::Error::new(code)), "{code}");
        let meant = meaning("test", Some(ffi::Error::new(code)), Box::new(error(code)));
        assert!(matches!(meant, StoreError::Failing { .. }), "{meant:?}");
    }
    for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
        assert!(!is_failing(ffi::Error::new(code)), "{code}");
        let meant = meaning("test", Some(ffi::Error::new(code)), Box::new(error(code)));
        assert!(matches!(meant, StoreError::Full(_)), "{meant:?}");
    }
    // Only a log without room says that a commit did not happen; the other comes after it was written.
    assert!(is_full(&error(ffi::SQLITE_FULL)));
    assert!(!is_full(&error(ffi::SQLITE_IOERR_SHMSIZE)));
}

#[test]
fn a_guard_sees_another_file_and_another_schema_and_never_forgives() {
    let (folder, _store) = store();
    let path = path(&folder);
    let connection = connection::writer(&path).unwrap();
    let mut guard = Guard::new(&path);
    guard.check_schema(&connection);
    guard.admit(&connection).unwrap();
    guard.check_files().unwrap();
    let elsewhere = folder.path().join("elsewhere.db");
    std::fs::rename(&path, &elsewhere).unwrap();
    assert!(matches!(guard.check_files(), Err(Stop::Broken(_))));
    std::fs::rename(&elsewhere, &path).unwrap();
    assert!(matches!(guard.admit(&connection), Err(Stop::Broken(_))), "once is enough");

    let mut guard = Guard::new(&path);
    connection.execute("INSERT INTO callout_schema VALUES (99, 'newer', 0, 0)", []).unwrap();
    guard.check_schema(&connection);
    assert!(matches!(guard.admit(&connection), Err(Stop::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_damaged_page_stops_everything() {
    let (_folder, store) = store();
    store.enqueue(vec![message("before")]).await.unwrap();
    let damage = store.writer.write(|_| -> Result<(), StoreError> {
        let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
        Err(meaning("look", Some(code), Box::new(error(ffi::SQLITE_CORRUPT))))
    });
    assert!(matches!(damage.await, Err(StoreError::Failing { .. })));
    let after = store.enqueue(vec![message("after")]).await;
    assert!(matches!(after, Err(StoreError::Stopped(_))), "{after:?}");
}
