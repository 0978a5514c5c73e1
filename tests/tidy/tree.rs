//! The files of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

/// One text file; the path is relative to the workspace, with `/`.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub path: String,
    pub text: String,
}

impl File {
    /// A made-up one.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// The workspace that this test belongs to.
pub(crate) struct Tree {
    root: PathBuf,
}

pub(crate) fn workspace() -> Tree {
    Tree {
        root: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
    }
}

/// Every Rust file that people write.
pub(crate) fn rust_files() -> Vec<File> {
    let files = workspace().files(|path| path.ends_with(".rs"));
    assert!(
        files.len() > 20,
        "only {} Rust files were found",
        files.len()
    );
    files
}

impl Tree {
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    pub(crate) fn readmes(&self) -> Vec<File> {
        let readmes = self.files(|path| path == "README.md" || path.ends_with("/README.md"));
        assert!(!readmes.is_empty());
        readmes
    }

    /// Folders at the top that hold something of the project.
    pub(crate) fn top_folders(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).unwrap().map(Result::unwrap);
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        let names = folders.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| is_ours(name)).collect()
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<File> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() && is_ours(&entry.file_name().to_string_lossy()) {
                    folders.push(path);
                } else if kind.is_file() && wanted(&self.relative(&path)) {
                    let text = fs::read_to_string(&path).unwrap();
                    files.push(File {
                        path: self.relative(&path),
                        text,
                    });
                }
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        files
    }

    fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.root).unwrap();
        path.to_str().unwrap().replace('\\', "/")
    }
}

/// Not what a build or a tool leaves behind.
fn is_ours(folder: &str) -> bool {
    !folder.starts_with('.') && folder != "target" && folder != "node_modules"
}
