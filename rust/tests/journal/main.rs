//! The journal, through its public face: submit, wait, collect.

mod accepting;
mod committing;
mod covering;
mod crashing;
mod damaging;
mod deleting;
mod desk;
mod examining;
mod failing;
mod family;
mod files;
mod frozen;
mod growing;
mod logging;
mod moving;
mod opening;
mod reading;
mod repairing;
mod retiring;
mod returning;
mod salvaging;
mod spending;
mod waiting;
