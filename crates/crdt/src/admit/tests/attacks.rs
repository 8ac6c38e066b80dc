#[test]
fn timing() {
    use automerge::Automerge;
    use super::*;
    use crate::admit::*;
    for count in [10_000_u64, 50_000, 99_990, 200_000, 400_000] {
        let bytes = run_length_bomb(count);
        let mut limits = comity_model::Limits::default();
        limits.operations_free_max = 10_000_000;
        let t = std::time::Instant::now();
        let a = admit(&message(&[bytes.clone()]), &limits).unwrap();
        let t1 = t.elapsed();
        let mut d = Automerge::new();
        let t = std::time::Instant::now();
        d.load_incremental(&bytes).unwrap();
        let t2 = t.elapsed();
        let hwm = std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
        let saved = d.save();
        let t = std::time::Instant::now();
        let b = admit_document(&saved, &limits).unwrap();
        let t3 = t.elapsed();
        let t = std::time::Instant::now();
        Automerge::load(&saved).unwrap();
        println!("{count}: {} bytes, admit {t1:?}, apply {t2:?} {hwm}; saved {} admit {t3:?} load {:?} {:?} {:?}", bytes.len(), saved.len(), t.elapsed(), a.cost(), b.cost());
    }
}
