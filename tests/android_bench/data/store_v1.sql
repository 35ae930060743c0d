BEGIN TRANSACTION;
CREATE TABLE arms (
	campaign_id VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	place INTEGER NOT NULL, 
	artifact_sha256 VARCHAR(64) NOT NULL, 
	engine VARCHAR NOT NULL, 
	threads INTEGER NOT NULL, 
	cpu_mask VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	compared_to VARCHAR NOT NULL, 
	PRIMARY KEY (campaign_id, label), 
	FOREIGN KEY(campaign_id) REFERENCES campaigns (campaign_id), 
	FOREIGN KEY(artifact_sha256) REFERENCES artifacts (sha256)
);
INSERT INTO "arms" VALUES('20260301-120000-abcd','orig',0,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','executorch',1,'0x2','baseline','');
INSERT INTO "arms" VALUES('20260301-120000-abcd','orig (A/A)',1,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','executorch',1,'0x2','control','orig');
INSERT INTO "arms" VALUES('20260301-120000-abcd','ours',2,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','executorch',1,'0x2','candidate','orig');
CREATE TABLE artifacts (
	sha256 VARCHAR(64) NOT NULL, 
	file VARCHAR NOT NULL, 
	format VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	variant VARCHAR NOT NULL, 
	dataset VARCHAR NOT NULL, 
	resolution INTEGER, 
	precision VARCHAR NOT NULL, 
	backend VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	delegates INTEGER, 
	build_id VARCHAR NOT NULL, 
	versions JSON NOT NULL, 
	PRIMARY KEY (sha256)
);
INSERT INTO "artifacts" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','shufflenetv2_orig_imagenet_224_fp32_xnnpack.pte','pte','shufflenetv2','orig','imagenet',224,'fp32','xnnpack',9000000,1,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','{"executorch": "1.5.1"}');
INSERT INTO "artifacts" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','shufflenetv2_ours_imagenet_224_fp32_xnnpack.pte','pte','shufflenetv2','ours','imagenet',224,'fp32','xnnpack',9000000,1,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','{"executorch": "1.5.1"}');
CREATE TABLE blocks (
	block_id INTEGER NOT NULL, 
	campaign_id VARCHAR NOT NULL, 
	"index" INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	label VARCHAR NOT NULL, 
	artifact_sha256 VARCHAR(64) NOT NULL, 
	engine VARCHAR NOT NULL, 
	threads INTEGER NOT NULL, 
	cpu_mask VARCHAR NOT NULL, 
	round INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	started_utc VARCHAR NOT NULL, 
	load_ns BIGINT, 
	first_inference_ns BIGINT, 
	warmup_inferences INTEGER NOT NULL, 
	vm_hwm_kib BIGINT, 
	"before" JSON NOT NULL, 
	"after" JSON NOT NULL, 
	flags JSON NOT NULL, 
	handicap_ppm INTEGER NOT NULL, 
	harness_version VARCHAR NOT NULL, 
	PRIMARY KEY (block_id), 
	UNIQUE (campaign_id, "index", attempt), 
	FOREIGN KEY(campaign_id, label) REFERENCES arms (campaign_id, label), 
	FOREIGN KEY(artifact_sha256) REFERENCES artifacts (sha256)
);
INSERT INTO "blocks" VALUES(1,'20260301-120000-abcd',0,0,'orig','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','executorch',1,'0x2',0,0,'2026-03-01T12:00:00+00:00',5000000,30000,10,40000,'{"at_ns": 1000000, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 45000, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','{"at_ns": 2000000, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 46500, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','[]',0,'1');
INSERT INTO "blocks" VALUES(2,'20260301-120000-abcd',1,0,'ours','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','executorch',1,'0x2',0,1,'2026-03-01T12:00:01+00:00',5000000,30000,10,40000,'{"at_ns": 1000001, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 45000, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','{"at_ns": 2000001, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 46500, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','[]',0,'1');
INSERT INTO "blocks" VALUES(3,'20260301-120000-abcd',2,0,'ours','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','executorch',1,'0x2',1,0,'2026-03-01T12:00:02+00:00',5000000,30000,10,40000,'{"at_ns": 1000002, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 45000, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','{"at_ns": 2000002, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 46500, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','["partial", "throttled"]',0,'1');
INSERT INTO "blocks" VALUES(4,'20260301-120000-abcd',2,1,'ours','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','executorch',1,'0x2',1,0,'2026-03-01T12:00:02+00:00',5000000,30000,10,40000,'{"at_ns": 1000002, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 45000, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','{"at_ns": 2000002, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 46500, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','[]',10000,'1');
INSERT INTO "blocks" VALUES(5,'20260301-120000-abcd',3,0,'orig (A/A)','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','executorch',1,'0x2',1,1,'2026-03-01T12:00:03+00:00',NULL,30000,10,40000,'{"at_ns": 1000003, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 45000, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','{"at_ns": 2000003, "cpu": 1, "freq_khz": {"0": 400000, "1": 2900000, "2": null, "3": null}, "freq_cap_khz": {"0": 3000000, "1": 3000000, "2": null, "3": null}, "temp_mc": {"cpu": 46500, "skin": null}, "online_cpus": [0, 1, 2, 3], "load_1min": 0.5, "steal_fraction": 0.0, "other_busy_fraction": 0.125}','["engine_crashed"]',0,'1');
CREATE TABLE campaigns (
	campaign_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	device_id VARCHAR NOT NULL, 
	started_utc VARCHAR NOT NULL, 
	precision FLOAT NOT NULL, 
	confidence FLOAT NOT NULL, 
	budget_seconds FLOAT NOT NULL, 
	min_rounds INTEGER NOT NULL, 
	max_attempts INTEGER NOT NULL, 
	seed BIGINT NOT NULL, 
	harness_version VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	versions JSON NOT NULL, 
	git_revision VARCHAR NOT NULL, 
	git_dirty BOOLEAN NOT NULL, 
	PRIMARY KEY (campaign_id), 
	FOREIGN KEY(device_id) REFERENCES devices (device_id)
);
INSERT INTO "campaigns" VALUES('20260301-120000-abcd','shufflenetv2 on the host','7db5a91e4ba83edb1e1620781052fb38','2026-03-01T12:00:00+00:00',0.01,0.95,300.0,12,3,7,'1','bench-host','{"inferences": 90, "warmup_seconds": 0.5}','{"numpy": "2.4.6"}','0123abcd',1);
CREATE TABLE devices (
	device_id VARCHAR NOT NULL, 
	serial VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	model VARCHAR NOT NULL, 
	manufacturer VARCHAR NOT NULL, 
	soc VARCHAR NOT NULL, 
	abi VARCHAR NOT NULL, 
	os VARCHAR NOT NULL, 
	kernel VARCHAR NOT NULL, 
	cpu_count INTEGER NOT NULL, 
	memory_kib BIGINT, 
	clusters JSON NOT NULL, 
	thermal_zones JSON NOT NULL, 
	"virtual" BOOLEAN, 
	PRIMARY KEY (device_id)
);
INSERT INTO "devices" VALUES('7db5a91e4ba83edb1e1620781052fb38','host-1f2e','host','Example CPU 3000','','','x86_64','Debian GNU/Linux 12','6.1.0',4,16000000,'[{"cpus": [0, 1], "core": "big", "min_khz": 400000, "max_khz": 3000000, "governor": ""}, {"cpus": [2, 3], "core": "little", "min_khz": null, "max_khz": null, "governor": "schedutil"}]','["cpu", "skin"]',0);
CREATE TABLE events (
	event_id INTEGER NOT NULL, 
	campaign_id VARCHAR NOT NULL, 
	at_utc VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	block_index INTEGER, 
	data JSON NOT NULL, 
	PRIMARY KEY (event_id), 
	FOREIGN KEY(campaign_id) REFERENCES campaigns (campaign_id)
);
INSERT INTO "events" VALUES(1,'20260301-120000-abcd','2026-03-01T12:00:00+00:00','started','the campaign has started',NULL,'{"reason": "test"}');
INSERT INTO "events" VALUES(2,'20260301-120000-abcd','2026-03-01T12:00:00+00:00','stopped','precision reached',NULL,'{"reason": "test"}');
CREATE TABLE locks (
	serial VARCHAR NOT NULL, 
	token VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	since_utc VARCHAR NOT NULL, 
	heartbeat_s FLOAT NOT NULL, 
	PRIMARY KEY (serial)
);
CREATE TABLE memory (
	memory_id INTEGER NOT NULL, 
	campaign_id VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	started_utc VARCHAR NOT NULL, 
	vm_hwm_kib BIGINT NOT NULL, 
	rss_kib JSON NOT NULL, 
	harness_version VARCHAR NOT NULL, 
	PRIMARY KEY (memory_id), 
	FOREIGN KEY(campaign_id, label) REFERENCES arms (campaign_id, label)
);
INSERT INTO "memory" VALUES(1,'20260301-120000-abcd','orig','2026-03-01T12:00:00+00:00',41000,'{"loaded": 20000, "start": 9000, "steady": null}','1');
CREATE TABLE operators (
	profile_id INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	delegate VARCHAR NOT NULL, 
	count INTEGER NOT NULL, 
	samples_ns BLOB NOT NULL, 
	PRIMARY KEY (profile_id, place), 
	FOREIGN KEY(profile_id) REFERENCES profiles (profile_id)
);
INSERT INTO "operators" VALUES(1,0,'Convolution','conv2d','XNNPACK',3,X'78DA63FDCFC4F09F0113010064580800');
INSERT INTO "operators" VALUES(1,1,'mean.out','','',3,X'78DA6364FCCFC0800501005BEB07FB');
CREATE TABLE profiles (
	profile_id INTEGER NOT NULL, 
	campaign_id VARCHAR NOT NULL, 
	label VARCHAR NOT NULL, 
	started_utc VARCHAR NOT NULL, 
	harness_version VARCHAR NOT NULL, 
	PRIMARY KEY (profile_id), 
	FOREIGN KEY(campaign_id, label) REFERENCES arms (campaign_id, label)
);
INSERT INTO "profiles" VALUES(1,'20260301-120000-abcd','orig','2026-03-01T12:00:00+00:00','1');
CREATE TABLE samples (
	block_id INTEGER NOT NULL, 
	count INTEGER NOT NULL, 
	samples_ns BLOB NOT NULL, 
	cpus BLOB NOT NULL, 
	PRIMARY KEY (block_id), 
	FOREIGN KEY(block_id) REFERENCES blocks (block_id)
);
INSERT INTO "samples" VALUES(1,3,X'78DA6B58B0A1B7CD269AF13F03030A02007D590976',X'78DA63646004420000120004');
INSERT INTO "samples" VALUES(2,3,X'78DA7B9010C0567938EA1F03C37F1404007C0D0926',X'78DA63646004420000120004');
INSERT INTO "samples" VALUES(3,2,X'78DA733818B2BAB38CE13F0C0200410B07FB',X'78DA636460640000000A0003');
INSERT INTO "samples" VALUES(4,2,X'78DA5BB0F0675B1823031C00002BFE0318',X'78DA636460640000000A0003');
INSERT INTO "samples" VALUES(5,0,X'78DA030000000001',X'78DA030000000001');
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1);
CREATE INDEX ix_events_campaign_id ON events (campaign_id);
CREATE INDEX ix_profiles_campaign_id ON profiles (campaign_id);
CREATE INDEX ix_memory_campaign_id ON memory (campaign_id);
COMMIT;
