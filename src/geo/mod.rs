//! Places on the WGS 84 ellipsoid: coordinates, distances and the cells of the grid. Pure geometry.

mod cell;
mod coordinate;
mod geodesic;

pub(crate) use cell::cell_height_m;
pub use cell::{Cell, CellRange, Extent, cell_of};
pub use coordinate::{Coordinate, OutOfRange};
pub use geodesic::distance_m;
pub(crate) use geodesic::{Near, Position, chord2, position};
