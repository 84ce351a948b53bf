// Whether the dots on the links have moved after some of their steps.
(async () => {
  const place = () => getComputedStyle(document.querySelector("#links .flow")).strokeDashoffset;
  const before = place();
  await new Promise((done) => setTimeout(done, 300));
  return place() !== before;
})()
