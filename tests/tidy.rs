//! The tree is as `architecture.md` and the conventions want it, or this fails.
//!
//! Rules that nobody checks are wishes. These are small, dumb readings of the source text: good
//! enough to catch a slip, and each is shown below to be able to fail. They look at text, not at
//! types, so a determined author can get around them; that author should change the rule instead.

#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/code.rs"]
mod code;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/doors.rs"]
mod doors;
#[path = "tidy/habits.rs"]
mod habits;
#[path = "tidy/readmes.rs"]
mod readmes;

use tree::{File, rust_files, workspace};

/// Every complaint at once, so that one run tells all there is to mend.
fn assert_none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_module_imports_only_from_floors_below() {
    let exports = floors::exports(&workspace().read("src/lib.rs"));
    let core_exports = floors::exports(&workspace().read("core/src/lib.rs"));
    let files = rust_files();
    assert_none(files.iter().flat_map(|file| floors::check(file, &exports)));
    assert_none(
        files
            .iter()
            .flat_map(|file| floors::check_core(file, &core_exports)),
    );
}

#[test]
fn every_folder_of_the_server_has_a_floor() {
    let known = |file: &&File| floors::of(&file.path).is_some();
    let server = rust_files()
        .into_iter()
        .filter(|file| file.path.starts_with("src/"));
    let homeless: Vec<File> = server.filter(|file| !known(&file)).collect();
    assert_none(
        homeless
            .iter()
            .map(|file| format!("{} is on no floor", file.path)),
    );
}

#[test]
fn a_foreign_crate_is_named_only_behind_its_door() {
    assert_none(rust_files().iter().flat_map(doors::check_crates));
}

#[test]
fn clocks_are_read_only_where_time_is_made() {
    assert_none(rust_files().iter().flat_map(doors::check_clocks));
}

#[test]
fn files_functions_and_lines_are_short() {
    assert_none(rust_files().iter().flat_map(habits::check_lengths));
}

#[test]
fn modules_are_named_for_things_of_the_domain() {
    assert_none(rust_files().iter().filter_map(habits::check_name));
}

#[test]
fn nothing_is_left_undone_or_untested() {
    assert_none(rust_files().iter().flat_map(habits::check_words));
}

#[test]
fn the_core_has_no_clock_no_float_and_no_random_order() {
    assert!(workspace().read("core/src/lib.rs").contains("#![no_std]"));
    assert_none(rust_files().iter().flat_map(habits::check_core));
}

#[test]
fn links_and_commands_in_readmes_are_live() {
    let tree = workspace();
    assert_none(
        tree.readmes()
            .iter()
            .flat_map(|readme| readmes::check(readme, &tree)),
    );
}

#[test]
fn every_top_folder_says_what_it_is() {
    let tree = workspace();
    let folders = tree
        .top_folders()
        .into_iter()
        .map(|folder| format!("{folder}/README.md"));
    let readmes = folders.chain(["README.md".to_owned()]);
    assert_none(
        readmes
            .filter(|readme| !tree.exists(readme))
            .map(|readme| format!("there is no {readme}")),
    );
}

/// The command that the README names is the one that CI runs.
#[test]
fn people_and_ci_run_the_same_command() {
    let tree = workspace();
    let runs = |path: &str| tree.exists(path) && tree.read(path).contains("tests/run");
    let elsewhere = ["README.md", ".ci/run"]
        .into_iter()
        .filter(|path| !runs(path));
    assert_none(elsewhere.map(|path| format!("{path} does not call tests/run")));
}
