//! The memory of runs. What they compute is held to the plain blocks where the network is.

use super::super::check::random;
use super::*;

const WIDTH: usize = 32;
const HEAD: usize = 16;
const CONDITION: usize = 8;

/// Two blocks of random weights.
fn stack() -> Stack {
    let tensor = |shape: &[usize], seed| random(shape, seed).unwrap();
    let linear =
        |outputs, inputs, seed| [tensor(&[outputs, inputs], seed), tensor(&[outputs], seed + 1)];
    let blocks: Vec<_> = (0..2)
        .map(|block| {
            let seed = 100 * block;
            let modulation = linear(6 * WIDTH, CONDITION, seed);
            let [q, k, v, out] = [2, 4, 6, 8].map(|at| linear(WIDTH, WIDTH, seed + at));
            let norms = [10, 11].map(|at| tensor(&[HEAD], seed + at));
            let (up, down) =
                (linear(4 * WIDTH, WIDTH, seed + 12), linear(WIDTH, 4 * WIDTH, seed + 14));
            (modulation, [q, k, v], out, norms, [up, down])
        })
        .collect();
    let weights: Vec<_> = blocks
        .iter()
        .map(|(modulation, qkv, out, norms, [up, down])| BlockWeights {
            modulation: modulation.each_ref(),
            qkv: qkv.each_ref().map(|layer| layer.each_ref()),
            out: out.each_ref(),
            norms: norms.each_ref(),
            up: up.each_ref(),
            down: down.each_ref(),
        })
        .collect();
    Stack::new(&weights, WIDTH, HEAD).unwrap()
}

/// Rows under conditions, as the network's sections and groups are.
struct Input {
    x: Vec<f32>,
    condition: Vec<f32>,
    lengths: Vec<usize>,
}

impl Input {
    fn new(lengths: &[usize], seed: usize) -> Self {
        let values = |count: usize, seed| random(&[count], seed).unwrap().to_vec1().unwrap();
        let rows: usize = lengths.iter().sum();
        let condition = values(lengths.len() * CONDITION, seed + 1);
        Self { x: values(rows * WIDTH, seed), condition, lengths: lengths.to_vec() }
    }

    fn condition(&self) -> View<'_> {
        View::rows(&self.condition, self.lengths.len(), CONDITION)
    }

    fn phases(&self) -> Phases {
        Phases::none(HEAD / 2, self.lengths.iter().sum())
    }

    fn forward(&self, stack: &Stack) -> Vec<f32> {
        let sections = self.lengths.len();
        stack.forward(&self.x, self.condition(), sections, &self.phases(), None)
    }

    fn keys_values(&self, stack: &Stack) -> Vec<Vec<[Vec<f32>; 2]>> {
        stack.keys_values(&self.x, self.condition(), &self.lengths, &self.phases())
    }
}

/// Where the vectors of a workspace lie, and how much they may hold.
fn places(work: &Workspace) -> Vec<(*const f32, usize)> {
    let of_lane = |lane: &Lane| {
        let Lane { x, normed, seen, queries, scores: [history, own], head, hidden, .. } = lane;
        [x, normed, seen, queries, history, own, head, hidden]
            .map(|part| (part.as_ptr(), part.capacity()))
    };
    let shared = work.modulations.iter().map(|(values, _)| values).chain([&work.keys, &work.qkv]);
    let shared = shared.map(|part| (part.as_ptr(), part.capacity()));
    let own = work.own.iter().map(|own| (own.heads.as_ptr().cast(), own.heads.capacity()));
    work.lanes.iter().flat_map(of_lane).chain(shared).chain(own).collect()
}

#[test]
fn evaluations_use_the_memory_of_those_before_and_nothing_else_of_theirs() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| {
        // As in play: the newest frames' groups, then a section, whose rows are others in number.
        let (groups, section) = (Input::new(&[40, 12, 3], 7), Input::new(&[29], 9));
        let fresh = (groups.keys_values(&stack()), section.forward(&stack()));
        let stack = stack();
        let mut before = None;
        for _ in 0..3 {
            assert!(groups.keys_values(&stack) == fresh.0, "the memory leaves no trace");
            assert!(section.forward(&stack) == fresh.1, "the memory leaves no trace");
            let workspaces = stack.workspaces();
            assert_eq!(workspaces.len(), 1, "one run after another needs one");
            let now = places(&workspaces[0]);
            assert!(now.iter().any(|&(_, room)| room >= 4 * WIDTH), "there is memory");
            assert!(
                *before.get_or_insert_with(|| now.clone()) == now,
                "none of it is asked for again"
            );
        }
    });
}
