// Before the page's own scripts: notes how long they take with each event of the stream, in milliseconds.
(() => {
  window.spent = [];
  const add = EventSource.prototype.addEventListener;
  EventSource.prototype.addEventListener = function listen(name, handle) {
    return add.call(this, name, (event) => {
      const before = performance.now();
      handle(event);
      window.spent.push([name, performance.now() - before]);
    });
  };
})()
